//! How events of the server are written: for people, for programs, for journald.

use std::fmt;
use std::fs::File;
use std::io::{self, Stderr};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use clap::ValueEnum;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::wants_color;

/// A way to write events.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum EventFormat {
    /// A line an event, for people; under systemd as its journal has them.
    Text,

    /// A JSON object a line.
    Json,
}

/// Sends events to standard error: `TRUNKDNS_LOG=debug` shows more.
///
/// Hickory's transports log a line or two a query at level `info`; a server
/// that logs queries can be stopped by whoever asks enough of them.
pub(super) fn start(format: EventFormat) {
    let filter = EnvFilter::try_from_env("TRUNKDNS_LOG").unwrap_or_else(|_| {
        EnvFilter::new("info,hickory_server=off,hickory_proto=off,hickory_net=off")
    });
    let events = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        EventFormat::Json => events.json().flatten_event(true).init(),
        EventFormat::Text if is_journal(&io::stderr()) => events.event_format(Journal).init(),
        EventFormat::Text => events.with_ansi(wants_color(&io::stderr())).init(),
    }
}

/// Says whether standard error leads to the journal, as systemd says by
/// `JOURNAL_STREAM`: device and inode (systemd.exec(5)).
fn is_journal(stderr: &Stderr) -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let file = stderr.as_fd().try_clone_to_owned().map(File::from);
    let metadata = file.and_then(|file| file.metadata());
    metadata.is_ok_and(|metadata| stream == format!("{}:{}", metadata.dev(), metadata.ino()))
}

//----------- Journal --------------------------------------------------------

/// Events as journald takes them from standard error: a priority in front
/// (sd-daemon(3)), and no time, which it notes itself.
struct Journal;

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{priority}>")?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
