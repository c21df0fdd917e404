//! `trunkdns explain`

use std::io::BufRead;
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use ipnet::IpNet;

use super::{ask, print};
use crate::clock;
use crate::daemon::control::{Command, Reply};
use crate::daemon::{self, load};
use crate::diag::{Report, Sources};
use crate::explain::{Asker, Explanation, Placer, Request, Usage};
use crate::explain::{render, render_line, render_usages};
use crate::snapshot::Snapshot;
use crate::state::Kept;
use crate::time;

/// Options of `explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The name asked for; `-` and then the name, to read clients' addresses from standard
    /// input, one a line; or an endpoint's address or name, to see where it is used.
    #[arg(value_name = "NAME", required = true, num_args = 1..=3)]
    what: Vec<String>,

    /// The address that asks.
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,

    /// The client subnet that the query carries.
    #[arg(long, value_name = "PREFIX", value_parser = read_subnet)]
    subnet: Option<IpNet>,

    /// Another moment than now: a time with its zone, or a span such as +90s.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    at: Option<String>,

    /// Explain the tables on the disk instead of what the running server serves.
    #[arg(long)]
    tables: bool,

    /// Print JSON, an object a line for each client.
    #[arg(long)]
    json: bool,
}

/// Explains, and exits 0 if there was something to explain.
pub(super) fn run(config: &Path, options: &Options) -> ExitCode {
    match explain(config, options) {
        Ok((text, is_found)) => print(&text, is_found),
        Err(why) => super::fail(&why),
    }
}

fn explain(config: &Path, options: &Options) -> Result<(String, bool), String> {
    let words: Vec<_> = options.what.iter().map(String::as_str).collect();
    let (clients, name, rtype, is_table) = match words[..] {
        ["-", name] => (read_clients(std::io::stdin().lock())?, name, "SRV", true),
        ["-", name, rtype] => (read_clients(std::io::stdin().lock())?, name, rtype, true),
        [what] if options.from.is_none() && options.subnet.is_none() => {
            return find_usages(config, options, what);
        }
        [name] => (vec![asker(options)?], name, "SRV", false),
        [name, rtype] => (vec![asker(options)?], name, rtype, false),
        _ => return Err("too many words: expected NAME [TYPE]".into()),
    };
    let at = options.at.as_deref().map(|at| time::read_moment(at, clock::wall().0)).transpose()?;
    let request = |clients: &[Asker]| Request {
        name: name.to_owned(),
        rtype: rtype.to_owned(),
        clients: clients.to_vec(),
        at,
    };
    let server = if options.tables { Source::read(config)? } else { Source::Server };
    let placer = Placer::load(config);
    let mut out = String::new();
    for clients in clients.chunks(Request::CLIENTS_MAX) {
        for mut explanation in server.explain(config, request(clients))? {
            let address = explanation.client.address;
            explanation.placement = placer.as_ref().ok().map(|placer| placer.place(address));
            out += &show(&explanation, options, is_table);
        }
    }
    if let Err(findings) = placer {
        out += &format!("the rule is not known, for the files have errors:\n{findings}");
    }
    Ok((out, true))
}

fn show(explanation: &Explanation, options: &Options, is_table: bool) -> String {
    match (options.json, is_table) {
        (true, _) => format!("{}\n", serde_json::json!(explanation)),
        (false, true) => render_line(explanation),
        (false, false) => render(explanation),
    }
}

fn asker(options: &Options) -> Result<Asker, String> {
    let subnet = options.subnet;
    let from = options.from.or_else(|| subnet.map(|subnet| subnet.addr()));
    let from = from.ok_or("who asks? add --from ADDRESS, or --subnet PREFIX")?;
    Ok(Asker { from, subnet })
}

/// Reads clients, one a line: the first word is an address, or a prefix that
/// a client subnet carries. Empty lines and comments behind `#` are skipped.
fn read_clients(lines: impl BufRead) -> Result<Vec<Asker>, String> {
    let mut clients = Vec::new();
    for (number, text) in (1..).zip(lines.lines()) {
        let text = text.map_err(|error| format!("standard input cannot be read: {error}"))?;
        let text = text.split('#').next().unwrap_or_default();
        let Some(word) = text.split([' ', '\t', ',', ';']).find(|word| !word.is_empty()) else {
            continue;
        };
        let client = match (word.parse(), read_subnet(word)) {
            (Ok(from), _) => Asker { from, subnet: None },
            (_, Ok(subnet)) => Asker { from: subnet.addr(), subnet: Some(subnet) },
            _ => return Err(format!("line {number}: `{word}` is neither address nor prefix")),
        };
        clients.push(client);
    }
    Ok(clients)
}

fn read_subnet(text: &str) -> Result<IpNet, String> {
    let prefix: IpNet =
        text.parse().map_err(|_| format!("`{text}` is no prefix, such as 192.0.2.0/24"))?;
    Ok(prefix.trunc())
}

fn find_usages(config: &Path, options: &Options, what: &str) -> Result<(String, bool), String> {
    let source = if options.tables { Source::read(config)? } else { Source::Server };
    let usages = source.usages(config, what)?;
    let text = match options.json {
        true => format!("{:#}\n", serde_json::json!(usages)),
        false => render_usages(what, &usages),
    };
    Ok((text, !usages.is_empty()))
}

//----------- Source ---------------------------------------------------------

/// Whose answers are explained.
enum Source {
    /// Those of the running server.
    Server,

    /// Those that the tables on the disk would give.
    Tables(Box<(Kept, Snapshot)>),
}

impl Source {
    /// Reads the tables on the disk.
    fn read(config: &Path) -> Result<Self, String> {
        let (mut sources, mut report) = (Sources::default(), Report::default());
        let loaded = load::load(config, None, &mut sources, &mut report);
        let loaded = loaded.filter(|_| !report.has_errors());
        let loaded = loaded.ok_or_else(|| report.render(&sources, false))?;
        let settings = loaded.settings.clone();
        let kept = loaded.into_kept(clock::wall().second());
        let snapshot = kept.snapshot(&settings);
        Ok(Source::Tables(Box::new((kept, snapshot))))
    }

    fn explain(&self, config: &Path, request: Request) -> Result<Vec<Explanation>, String> {
        match self {
            Source::Server => match ask(config, &Command::Explain(request)).map_err(hint)? {
                Reply::Explain { explanations } => Ok(explanations),
                Reply::Refused { why } => Err(why),
                other => Err(format!("the server answered {other:?}")),
            },
            Source::Tables(tables) => {
                let (kept, snapshot) = &**tables;
                daemon::explain::explain(snapshot, kept, clock::wall(), &request)
            }
        }
    }

    fn usages(&self, config: &Path, what: &str) -> Result<Vec<Usage>, String> {
        match self {
            Source::Server => {
                let command = Command::Usages { what: what.to_owned() };
                match ask(config, &command).map_err(hint)? {
                    Reply::Usages { usages } => Ok(usages),
                    other => Err(format!("the server answered {other:?}")),
                }
            }
            Source::Tables(tables) => Ok(daemon::explain::usages(&tables.0, what)),
        }
    }
}

fn hint(why: String) -> String {
    format!("{why}\nadd --tables to explain the tables on the disk")
}
