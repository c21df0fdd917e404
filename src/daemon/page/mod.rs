//! The status page: what a server does, on a map, in tables and in plots.
//!
//! The page is a file of HTML, one of CSS and one of JavaScript, as they are in
//! this folder, and a map ([`map.py`](map.py) makes it). It asks for these:
//!
//! | path | says |
//! |---|---|
//! | `/status.json` | the status, cut to what a page can show |
//! | `/regions.json` | the regions, and which one each country resolves to |
//! | `/zones.json?find=` | zones with a text in their names |
//! | `/tables.json?zone=` | the priority tables of a zone |
//! | `/explain.json?name=&type=&from=` | why a client gets its answer; or `country=` |
//! | `/history.json` | the last publications |
//!
//! Nothing here changes anything, whatever is sent.
//!
//! # Limits
//!
//! Lists are cut, and say how long they are. The status is collected once a
//! second, whoever asks for it. One explanation is made at a time, for it reads
//! the databases, and one of the others; whoever waits for longer than
//! [`PATIENCE`] is told to come again. All of it runs on threads of its own:
//! neither queries nor commands wait for it.
//!
//! # What others may do with it
//!
//! Scripts and styles of the page's own files run, and nothing else does; no
//! other page may frame it or read from it. What comes from tables and from
//! commands is put into the page as text.

mod atlas;
mod overview;
mod query;
mod tables;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::json;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;

use self::atlas::Atlas;
use self::overview::{Overview, Publications};
use self::query::{From, Query, Question};
use self::tables::{Tables, Zones};
use super::http::View;
use super::load;
use crate::config;
use crate::explain::{self, Asker, Placer};
use crate::geo::Country;

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// How old a status may be that is shown again.
const STATUS_AGE_MAX: Duration = Duration::from_secs(1);

/// The page's files: path, type and content.
const FILES: [(&str, &str, &str); 12] = [
    ("/", "text/html; charset=utf-8", include_str!("page.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("page.css")),
    ("/page.js", JAVASCRIPT, include_str!("page.js")),
    ("/dom.js", JAVASCRIPT, include_str!("dom.js")),
    ("/map.js", JAVASCRIPT, include_str!("map.js")),
    ("/answer.js", JAVASCRIPT, include_str!("answer.js")),
    ("/changes.js", JAVASCRIPT, include_str!("changes.js")),
    ("/traffic.js", JAVASCRIPT, include_str!("traffic.js")),
    ("/tables.js", JAVASCRIPT, include_str!("tables.js")),
    ("/server.js", JAVASCRIPT, include_str!("server.js")),
    ("/world.json", JSON, include_str!("world.json")),
    ("/icon.svg", "image/svg+xml", include_str!("icon.svg")),
];

const JSON: &str = "application/json";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// What a browser is told of every page, whatever it is.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        hyper::header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (hyper::header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (hyper::header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Adds what keeps others' scripts out of what is shown.
pub(super) fn protect(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

//----------- Page -----------------------------------------------------------

/// Answers what the page asks for.
pub(super) struct Page {
    /// When the server began to answer: the page's plots go by it.
    begun: Instant,

    /// The last status, and when it was collected.
    status: Mutex<Option<(Instant, Bytes)>>,

    /// Who reads the databases.
    explaining: Arc<Semaphore>,

    /// Who reads tables or history.
    reading: Arc<Semaphore>,
}

/// What there is to send.
pub(super) struct Reply {
    /// Whether it was found.
    pub(super) code: StatusCode,

    /// The type of the content.
    pub(super) kind: &'static str,

    /// The content.
    pub(super) body: Bytes,
}

impl Page {
    /// Returns one that nobody has asked yet.
    pub(super) fn new() -> Self {
        let [explaining, reading] = [(); 2].map(|()| Arc::new(Semaphore::new(1)));
        Page { begun: Instant::now(), status: Mutex::default(), explaining, reading }
    }

    /// Returns what is at a path, if that is the page's.
    pub(super) async fn get(
        &self,
        view: &Arc<impl View>,
        path: &str,
        query: Option<&str>,
    ) -> Option<Reply> {
        if let Some((_, kind, content)) = FILES.iter().find(|(own, ..)| *own == path) {
            let body = Bytes::from_static(content.as_bytes());
            return Some(Reply { code: StatusCode::OK, kind, body });
        }
        let view = view.clone();
        let query = Query::read(query);
        Some(match path {
            "/status.json" => self.status(view).await,
            "/regions.json" => run(&self.reading, move || regions(&*view)).await,
            "/history.json" => {
                run(&self.reading, move || Ok(Publications::new(view.events()))).await
            }
            "/zones.json" => {
                let text = query.get("find").unwrap_or_default().to_owned();
                run(&self.reading, move || Ok(Zones::find(&view.served().kept, &text))).await
            }
            "/tables.json" => match query.get("zone").map(str::to_owned) {
                Some(zone) => {
                    run(&self.reading, move || Tables::read(&view.served().kept, &zone)).await
                }
                None => Reply::refused("which zone? `zone=` is missing".to_owned()),
            },
            "/explain.json" => match query.question() {
                Ok(question) => run(&self.explaining, move || explain(&*view, question)).await,
                Err(why) => Reply::refused(why),
            },
            _ => return None,
        })
    }

    /// Returns the status of a moment ago, or a new one: whoever asks in the
    /// meantime waits for that.
    async fn status(&self, view: Arc<impl View>) -> Reply {
        let mut last = self.status.lock().await;
        if let Some((_, body)) = last.as_ref().filter(|(at, _)| at.elapsed() < STATUS_AGE_MAX) {
            return Reply { code: StatusCode::OK, kind: JSON, body: body.clone() };
        }
        let begun = self.begun;
        let collect = move || {
            let running_for = begun.elapsed();
            json!(Overview::new(view.status(), running_for)).to_string()
        };
        let Ok(text) = tokio::task::spawn_blocking(collect).await else { return Reply::busy() };
        let body = Bytes::from(text);
        *last = Some((Instant::now(), body.clone()));
        Reply { code: StatusCode::OK, kind: JSON, body }
    }
}

impl Reply {
    fn new(code: StatusCode, value: &impl Serialize) -> Self {
        Reply { code, kind: JSON, body: Bytes::from(json!(value).to_string()) }
    }

    fn refused(why: String) -> Self {
        Reply::new(StatusCode::BAD_REQUEST, &json!({ "error": why }))
    }

    fn busy() -> Self {
        let why = "others are asking; ask again in a few seconds";
        Reply::new(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": why }))
    }
}

/// Has a thread make a reply when it is its turn.
///
/// It goes on where whoever asked has gone, and nobody else begins before it
/// has ended.
async fn run<T: Serialize>(
    slots: &Arc<Semaphore>,
    make: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Reply {
    let Ok(Ok(slot)) = timeout(PATIENCE, slots.clone().acquire_owned()).await else {
        return Reply::busy();
    };
    let reply = move || {
        let reply = match make() {
            Ok(value) => Reply::new(StatusCode::OK, &value),
            Err(why) => Reply::refused(why),
        };
        drop(slot);
        reply
    };
    tokio::task::spawn_blocking(reply).await.unwrap_or_else(|_| Reply::busy())
}

fn regions(view: &impl View) -> Result<Atlas, String> {
    let kept = view.served().kept;
    let table = load::read_kept(&kept.shared.regions, config::read_regions);
    let table = table.ok_or("the region table cannot be read by this release")?;
    Ok(Atlas::new(kept.generation, &table))
}

//----------- Explanation ----------------------------------------------------

/// An explanation, as `trunkdns explain` gives it.
#[derive(Serialize)]
struct Explained {
    explanation: explain::Explanation,

    /// It for people.
    text: String,

    /// Why the rule is not known, if it is not.
    unplaced: Option<String>,
}

fn explain(view: &impl View, question: Question) -> Result<Explained, String> {
    let served = view.served();
    // The files are those of the disk, as for the command.
    let placer = Placer::load(&served.kept.shared.config.path);
    let asker = match question.asker {
        From::Client(asker) => asker,
        From::Country(country) => somebody_in(country, placer.as_ref().ok())?,
    };
    let Question { name, rtype, .. } = question;
    let request = explain::Request { name, rtype, clients: vec![asker], at: None };
    let super::Served { kept, snapshot, now } = served;
    let explanations = super::explain::explain(&snapshot, &kept, now, &request)?;
    let mut explanation =
        explanations.into_iter().next().ok_or("there is nothing to be explained")?;
    let address = explanation.client.address;
    explanation.placement = placer.as_ref().ok().map(|placer| placer.place(address));
    let text = explain::render(&explanation);
    Ok(Explained { explanation, text, unplaced: placer.err() })
}

/// Returns a client in a country.
fn somebody_in(country: Country, placer: Option<&Placer>) -> Result<Asker, String> {
    let placer = placer.ok_or("the files have errors, so that no address of it is known")?;
    let from = placer.example_of(country);
    let name = country.name().unwrap_or("it");
    let from = from.ok_or_else(|| format!("no database has an address in {name}"))?;
    Ok(Asker { from, subnet: None })
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    fn files(kind: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
        let own = FILES.iter().filter(move |(_, own, _)| *own == kind);
        own.map(|(path, _, content)| (*path, *content))
    }

    #[test]
    fn scripts_make_no_markup_of_text_and_run_none() {
        let forbidden = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "DOMParser",
            "eval(",
            "Function(",
            "setHTML",
            "createContextualFragment",
            "srcdoc",
        ];
        assert_eq!(files(JAVASCRIPT).count(), 8);
        for (path, script) in files(JAVASCRIPT) {
            for word in forbidden {
                assert!(!script.contains(word), "{path} has {word}");
            }
        }
    }

    #[test]
    fn the_page_has_neither_scripts_nor_styles_of_its_own_which_the_policy_forbids() {
        let (_, html) = FILES.iter().map(|(path, _, text)| (*path, *text)).next().unwrap();
        assert!(!html.contains("<style") && !html.contains(" style="));
        assert_eq!(
            html.matches("<script").count(),
            html.matches("<script type=\"module\" src=").count()
        );
        let handlers = html.split(' ').filter(|word| word.starts_with("on") && word.contains('='));
        assert_eq!(handlers.count(), 0);
    }

    #[test]
    fn nothing_is_asked_of_anybody_else() {
        for (path, _, content) in FILES {
            let links = content.match_indices("http://").chain(content.match_indices("https://"));
            for (at, _) in links {
                // The name of SVG's vocabulary is no address.
                assert!(content[at..].starts_with("http://www.w3.org/2000/svg"), "{path} at {at}");
            }
        }
    }

    #[test]
    fn what_scripts_import_is_served() {
        for (path, script) in files(JAVASCRIPT) {
            for import in
                script.split(" from \"./").skip(1).filter_map(|rest| rest.split('"').next())
            {
                assert!(
                    FILES.iter().any(|(own, ..)| own[1..] == *import),
                    "{path} imports {import}"
                );
            }
        }
    }

    #[test]
    fn the_page_is_small() {
        let octets: usize = FILES.iter().map(|(.., content)| content.len()).sum();
        assert!(octets < 250_000, "{octets} octets");
    }
}
