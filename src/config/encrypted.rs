//! `[encrypted]` of `trunkdns.toml`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::model::{Encrypted, Server};
use super::reader::{Fields, Item};
use crate::diag::{Code, Finding, Located, Report};

/// Where queries are asked for over HTTPS, as most servers have it.
const HTTPS_PATH: &str = "/dns-query";

/// Reads `[encrypted]`; there is nothing where no address can be served.
pub(super) fn encrypted(
    mut fields: Fields<'_>,
    server: &Server,
    report: &mut Report,
) -> Option<Encrypted> {
    let [tls, quic, https] = [("tls", 853), ("quic", 853), ("https", 443)].map(|(key, port)| {
        fields.or(key, Vec::new(), report, |item, report| {
            item.set(report, |item, report| item.socket_with(port, report))
        })
    });
    // A port is taken for connections and for datagrams apart.
    add_taken(&[&server.listen, &tls, &https], report);
    add_taken(&[&server.listen, &quic], report);
    let is_off = [&tls, &quic, &https].iter().all(|addresses| addresses.is_empty());
    let mut file = |key, example| match is_off {
        true => fields.optional(key, report, unused),
        false => fields.required(key, example, report, located_path),
    };
    let certificate = file("certificate", "certificate = \"tls/fullchain.pem\"");
    let key = file("key", "key = \"tls/privkey.pem\"");
    let path = fields.or("https-path", HTTPS_PATH.to_owned(), report, https_path);
    let range = Duration::from_secs(1)..=Duration::from_secs(60);
    let handshake = fields.or("handshake", Duration::from_secs(5), report, |item, report| {
        item.duration(range, report)
    });
    fields.finish(report);
    Some(Encrypted { certificate: certificate?, key: key?, tls, quic, https, path, handshake })
}

/// Reads a path and keeps where it is written, for what is wrong with the file.
pub(super) fn located_path(item: Item<'_>, report: &mut Report) -> Option<Located<PathBuf>> {
    let span = item.span();
    Some(Located::new(item.path(report)?, span))
}

/// Reports a file that nothing is served with.
fn unused(item: Item<'_>, report: &mut Report) -> Option<Located<PathBuf>> {
    let help = "list addresses under `tls`, `quic` or `https`, or remove the key";
    item.add(Code::UnusedCertificate, "no address is served with this", help, report);
    None
}

/// Reports addresses that are listed before, for what cannot share them.
fn add_taken(lists: &[&Vec<Located<SocketAddr>>], report: &mut Report) {
    let mut seen = HashMap::new();
    for (number, list) in lists.iter().enumerate() {
        for address in list.iter().filter(|address| address.value.port() != 0) {
            let (first, span) = *seen.entry(address.value).or_insert((number, address.span));
            // Within a list it is reported already.
            if first != number {
                let message = format!("`{}` is taken already", address.value);
                let help = "give each transport a port of its own: 853 for `tls` and `quic`, 443 \
                            for `https`";
                report.add(
                    Finding::new(Code::DuplicateValue, address.span, message, help)
                        .with_related(span, "listed first here"),
                );
            }
        }
    }
}

/// Reads the path of a URI (RFC 3986 section 3.3).
fn https_path(item: Item<'_>, report: &mut Report) -> Option<String> {
    let form = "path such as \"/dns-query\", without `?` and what follows it";
    let is_path = |text: &str| {
        let octets = text.bytes().all(|octet| octet.is_ascii_graphic());
        octets && text.starts_with('/') && !text.contains(['?', '#', '{', '}', '"', '\\'])
    };
    item.parsed(Code::BadValue, form, report, |text| is_path(text).then(|| text.to_owned()))
}
