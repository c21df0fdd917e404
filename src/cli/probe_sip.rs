//! `trunkdns probe sip`

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::{duration, fail, print, usage};
use crate::offline::Offline;
use crate::sip::Transport;
use crate::sip::exchange::Settings;
use crate::sip::health::{HealthCheck, Mode};
use crate::sip::targets::{Selection, targets};
use crate::sip::tls::Tls;
use crate::sip::watch::Watch;

/// How long an answer may take, if the interval is not shorter.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Options of `probe sip`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The endpoints, by name; `*` stands for any characters. All without one.
    #[arg(value_name = "ENDPOINT")]
    endpoint: Option<String>,

    /// Only those of a service, such as `_sips._tcp`.
    #[arg(long)]
    service: Option<String>,

    /// Only those that the clients of a region are given.
    #[arg(long)]
    region: Option<String>,

    /// Only addresses of IPv4.
    #[arg(short = '4', conflicts_with = "ipv6")]
    ipv4: bool,

    /// Only addresses of IPv6.
    #[arg(short = '6')]
    ipv6: bool,

    /// How often to ask; again and again unless `--count` says otherwise [once; health check: 10s].
    #[arg(long, value_parser = duration)]
    interval: Option<Duration>,

    /// How many times to ask.
    #[arg(long, value_name = "N")]
    count: Option<NonZeroU32>,

    /// How long an answer may take [5s, or the interval if that is shorter].
    #[arg(long, value_parser = duration)]
    timeout: Option<Duration>,

    #[command(flatten)]
    check: CheckOptions,

    /// The URI to ask for [sip: and the zone].
    #[arg(long)]
    uri: Option<String>,

    /// Status codes that count as 200, such as 401,405,483.
    #[arg(long, value_name = "CODES", value_delimiter = ',')]
    accept: Vec<u16>,

    /// Authorities to trust, a PEM file [those of this host].
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// The name that certificates must be for [the zone or the endpoint].
    #[arg(long, value_name = "NAME")]
    tls_name: Option<String>,

    /// Exit 1 if a certificate is valid for fewer days.
    #[arg(long, value_name = "DAYS")]
    min_days: Option<i64>,

    /// Print one JSON object, with `--interval` or `--count` one a round and line.
    #[arg(long)]
    json: bool,
}

/// The platform's health check.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct CheckOptions {
    /// Failures in a row that take a trunk out of service.
    #[arg(long, value_name = "N", default_value = "3")]
    failures: NonZeroU32,

    /// Successes in a row that it takes to come back.
    #[arg(long, value_name = "N", default_value = "2")]
    successes: NonZeroU32,

    /// What moves calls away.
    #[arg(long, value_enum, default_value_t)]
    mode: Mode,

    /// How long a trunk that is back must be stable.
    #[arg(long, value_parser = duration, value_name = "DURATION", default_value = "30s")]
    window: Duration,
}

impl CheckOptions {
    /// Returns the health check, with an interval or the platform's own.
    pub(super) fn check(self, interval: Option<Duration>) -> HealthCheck {
        let CheckOptions { failures, successes, mode, window } = self;
        let interval = interval.unwrap_or(HealthCheck::default().interval);
        HealthCheck { interval, failures, successes, mode, window }
    }
}

/// Asks endpoints, and exits 0 if all of them are healthy in the end.
pub(super) fn run(config: &Path, options: &Options) -> ExitCode {
    let check = options.check.check(options.interval);
    let timeout = options.timeout.unwrap_or(TIMEOUT.min(check.interval));
    if options.is_repeated() && timeout > check.interval {
        return usage("--timeout must not be longer than --interval");
    }
    if timeout.is_zero() || check.interval.is_zero() {
        return usage("--timeout and --interval must be longer than 0s");
    }
    match watch(config, options, check, timeout) {
        Ok(watch) => match repeat(watch, options) {
            Ok(code) => code,
            Err(why) => fail(&why),
        },
        Err(why) => fail(&why),
    }
}

impl Options {
    fn is_repeated(&self) -> bool {
        self.interval.is_some() || self.count.is_some()
    }

    /// Returns how many rounds there are; none is any number.
    fn rounds(&self) -> Option<u32> {
        match (self.count, self.interval) {
            (Some(count), _) => Some(count.get()),
            (None, Some(_)) => None,
            (None, None) => Some(1),
        }
    }
}

/// Reads the tables and finds the targets.
fn watch(
    config: &Path,
    options: &Options,
    check: HealthCheck,
    timeout: Duration,
) -> Result<Watch, String> {
    let offline = Offline::read(config)?;
    super::warn_of_refused(&offline);
    let region = options.region.as_ref().map(|name| super::region(&offline.regions, name));
    let selection = Selection {
        endpoint: options.endpoint.clone(),
        service: options.service.as_ref().map(|service| service.to_ascii_lowercase()),
        region: region.transpose()?,
        is_ipv6: (options.ipv4 || options.ipv6).then_some(options.ipv6),
    };
    let zones: Vec<_> = offline.zones.iter().map(|zone| zone.zone.clone()).collect();
    let (targets, unasked) = targets(&zones, &selection);
    if targets.is_empty() && unasked.is_empty() {
        return Err("no endpoint of the tables is meant by this".to_owned());
    }
    let has_tls = targets.iter().any(|target| target.transport == Transport::Tls);
    let tls = has_tls.then(|| Tls::new(options.ca.as_deref()).map(Arc::new)).transpose()?;
    let (uri, accepted) = (options.uri.clone(), options.accept.clone());
    let tls_name = options.tls_name.clone();
    let settings = Settings { timeout, uri, accepted, tls, tls_name };
    Ok(Watch::new((targets, unasked), check, settings))
}

/// Asks as often as is wanted, and prints what comes of it.
fn repeat(watch: Watch, options: &Options) -> Result<ExitCode, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot run: {error}"))?;
    LocalSet::new().block_on(&runtime, rounds(watch, options))
}

async fn rounds(mut watch: Watch, options: &Options) -> Result<ExitCode, String> {
    let mut ticks = tokio::time::interval(watch.check.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    // Whoever interrupts it wants to see what came of it so far.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let begin = Instant::now();
    let mut round = 0;
    while options.rounds().is_none_or(|rounds| round < rounds) {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = interrupt.recv() => break,
        }
        tokio::select! {
            result = watch.round() => result?,
            _ = interrupt.recv() => break,
        }
        if super::write(&shown(&watch, options, round, begin.elapsed())).is_err() {
            // Nobody reads any more.
            break;
        }
        round += 1;
    }
    let is_well = watch.is_well() && options.min_days.is_none_or(|days| watch.has_days_left(days));
    let end = match (options.json, options.is_repeated()) {
        (true, _) => String::new(),
        (false, false) => watch.summary(),
        (false, true) => watch.table() + &watch.summary(),
    };
    Ok(print(&end, is_well))
}

/// Returns what is printed after a round, counted from 0.
fn shown(watch: &Watch, options: &Options, round: u32, elapsed: Duration) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    match (options.json, options.is_repeated()) {
        (true, false) => format!("{:#}\n", watch.to_json(now)),
        (true, true) => format!("{}\n", watch.to_json(now)),
        (false, _) if round == 0 => watch.table(),
        (false, _) => watch.changes(elapsed),
    }
}
