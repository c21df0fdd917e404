//! The status as metrics, in the OpenMetrics text format.
//!
//! Everything here is in [`Status`] too: what `trunkdns status` shows and what
//! is scraped cannot differ.
//!
//! # Limits
//!
//! [`ENDPOINTS_MAX`] endpoints and [`ZONES_MAX`] handovers have series of their
//! own; how many are left out is a metric, and `trunkdns status --json` has all
//! of them.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::status::{LatencyStatus, Status};

/// The most endpoints that have series: two each, which a Prometheus takes
/// without notice. A carrier with more has thousands of customers.
const ENDPOINTS_MAX: usize = 1000;

/// The most handovers that have series.
const ZONES_MAX: usize = 1000;

/// Returns a status in the OpenMetrics text format.
pub(super) fn render(status: Status) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(StatusCollector(status)));
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = text::encode(&mut out, &registry);
    out
}

//----------- StatusCollector ------------------------------------------------

#[derive(Debug)]
struct StatusCollector(Status);

impl Collector for StatusCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut metrics = Metrics { encoder };
        self.messages(&mut metrics)?;
        self.process(&mut metrics)?;
        self.publications(&mut metrics)?;
        self.handovers(&mut metrics)?;
        self.databases(&mut metrics)?;
        self.endpoints(&mut metrics)?;
        self.customers(&mut metrics)
    }
}

impl StatusCollector {
    /// What became of messages and connections, by the names of the counters.
    fn messages(&self, metrics: &mut Metrics<'_>) -> fmt::Result {
        let counts = || self.0.counters.iter();
        let series = counts().filter(|count| count.is_outcome).map(|count| {
            let (outcome, reason) = count.name.split_once(':').unwrap_or((&count.name, ""));
            let labels =
                [("transport", &*count.transport), ("outcome", outcome), ("reason", reason)];
            (labels, count.value)
        });
        metrics.counters("messages", "Messages by what became of them; each has one.", series)?;
        let series = counts().filter(|count| !count.is_outcome).map(|count| {
            ([("transport", &*count.transport), ("event", &*count.name)], count.value)
        });
        metrics.counters("events", "What happened beside: drops, limits, connections.", series)?;
        let series = self.0.queries.iter().map(|count| {
            ([("transport", &*count.transport), ("type", &*count.qtype)], count.queries)
        });
        metrics.counters("queries", "Queries by the type asked for.", series)?;
        let series =
            self.0.regions.iter().map(|count| ([("region", &*count.region)], count.queries));
        metrics.counters("region_queries", "Queries that zones answered, by region.", series)?;
        let help = "How long the answer core takes, of one message in 1024.";
        metrics.family("answer_seconds", help, [([], Histogram(&self.0.latency))])
    }

    fn process(&self, metrics: &mut Metrics<'_>) -> fmt::Result {
        let status = &self.0;
        let info = [([("version", &*status.version)], 1.0)];
        metrics.gauges("build", "The release, in a label.", info)?;
        metrics.gauge("start_time_seconds", "When the server started.", status.started)?;
        metrics.gauge("zones", "Zones that are served.", status.zones as u64)?;
        let expires = status.encrypted.expires.map(|time| ([], time as f64));
        let help = "Until when the certificate of the encrypted transports is valid.";
        metrics.gauges("certificate_expires_time_seconds", help, expires)?;
        metrics.counter("clock_steps", "Steps of the system's clock.", status.clock_steps)?;
        let deviation = status.clock_deviation as f64 / 1000.0;
        let help = "How far the system's clock is ahead of the server's.";
        metrics.gauges("clock_deviation_seconds", help, [([], deviation)])
    }

    fn publications(&self, metrics: &mut Metrics<'_>) -> fmt::Result {
        let status = &self.0;
        metrics.gauge("generation", "Publications so far.", status.generation)?;
        let help = "When a zone was published last.";
        metrics.gauge("published_time_seconds", help, status.published)?;
        let is_whole = u64::from(status.last.is_whole);
        let help = "Whether the last reload took in everything (1) or held something back (0).";
        metrics.gauge("last_reload_complete", help, is_whole)?;
        let help = "When files were taken in last.";
        metrics.gauge("last_reload_time_seconds", help, status.last.at)?;
        let help = "Zones and files that the last reload held back.";
        metrics.gauge("held_back", help, status.last.held_back.len() as u64)?;
        let help = "Failures to write the state folder.";
        metrics.counter("state_write_errors", help, status.state.write_errors)?;
        let is_broken = status.state.write_error.is_some() || status.state.damaged.is_some();
        let help = "Whether the state folder was damaged at the start or cannot be written.";
        metrics.gauge("state_broken", help, u64::from(is_broken))
    }

    fn handovers(&self, metrics: &mut Metrics<'_>) -> fmt::Result {
        let status = &self.0;
        let help = "Versions of zones that are not in force for everybody yet.";
        metrics.gauge("handovers_pending", help, status.handovers.len() as u64)?;
        let help = "Tables that wait for the time they name.";
        metrics.gauge("scheduled", help, status.scheduled.len() as u64)?;
        let help = "Endpoints that are drained, or will be.";
        metrics.gauge("drains", help, status.drains.len() as u64)?;
        let shown = || status.handovers.iter().take(ZONES_MAX);
        let left = |time: u64| time.saturating_sub(status.now) as f64;
        let series = shown().map(|next| ([("zone", &*next.zone)], left(next.effective)));
        let help = "Until the first client networks change over.";
        metrics.gauges("handover_effective_in_seconds", help, series)?;
        let series = shown().map(|next| ([("zone", &*next.zone)], left(next.settled)));
        let help = "Until the last client networks have changed over.";
        metrics.gauges("handover_settled_in_seconds", help, series)
    }

    fn databases(&self, metrics: &mut Metrics<'_>) -> fmt::Result {
        let dated =
            self.0.databases.iter().filter_map(|database| {
                Some(([("database", &*database.path)], database.built? as f64))
            });
        metrics.gauges("database_build_time_seconds", "When a database was built.", dated)
    }

    fn endpoints(&self, metrics: &mut Metrics<'_>) -> fmt::Result {
        let endpoints = &self.0.endpoints;
        let labels = |at: usize| {
            let endpoint = &endpoints[at];
            [("zone", &*endpoint.zone), ("endpoint", &*endpoint.target)]
        };
        let ports: Vec<_> = endpoints.iter().map(|endpoint| endpoint.port.to_string()).collect();
        let shown = 0..endpoints.len().min(ENDPOINTS_MAX);
        let labels = |at: usize| {
            let [zone, endpoint] = labels(at);
            [zone, endpoint, ("port", &*ports[at])]
        };
        let series = shown.clone().map(|at| (labels(at), endpoints[at].prefers as f64));
        let help = "When the last cached answer expires that puts the endpoint first.";
        metrics.gauges("endpoint_preferred_until_seconds", help, series)?;
        let series = shown.clone().map(|at| (labels(at), endpoints[at].names as f64));
        let help = "When the last cached answer expires that names the endpoint.";
        metrics.gauges("endpoint_named_until_seconds", help, series)?;
        let series = shown.clone().flat_map(|at| {
            let [zone, endpoint, port] = labels(at);
            let told = [("yes", endpoints[at].first), ("no", endpoints[at].behind)];
            told.map(|(first, count)| ([zone, endpoint, port, ("first", first)], count))
        });
        metrics.counters("endpoint_answers", "Answers that named an endpoint.", series)?;
        let left_out = (endpoints.len() - shown.len()) as u64;
        metrics.gauge("endpoints_left_out", "Endpoints without series.", left_out)
    }

    fn customers(&self, metrics: &mut Metrics<'_>) -> fmt::Result {
        let customers = || self.0.limits.customers.iter();
        let series = customers().map(|one| ([("customer", &*one.name)], one.queries));
        metrics.counters("customer_messages", "Messages of a customer.", series)?;
        let series = customers().flat_map(|one| {
            let told = [
                ("answered", one.answered),
                ("denied", one.denied),
                ("error", one.errors),
                ("truncated", one.truncated),
            ];
            told.map(|(told, count)| ([("customer", &*one.name), ("told", told)], count))
        });
        metrics.counters("customer_responses", "What a customer was told.", series)
    }
}

//----------- Histogram ------------------------------------------------------

/// How long answers took, as a metric.
struct Histogram<'s>(&'s LatencyStatus);

impl EncodeMetric for Histogram<'_> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let seconds = |nanoseconds: u64| nanoseconds as f64 / 1e9;
        let LatencyStatus { buckets, sum } = self.0;
        let bound = |bound: &Option<u64>| bound.map_or(f64::INFINITY, seconds);
        let list: Vec<_> = buckets.iter().map(|(most, count)| (bound(most), *count)).collect();
        let count = list.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(seconds(*sum), count, &list, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

//----------- Metrics --------------------------------------------------------

/// Where metrics are written. All names begin with `trunkdns_`.
struct Metrics<'e> {
    encoder: DescriptorEncoder<'e>,
}

impl Metrics<'_> {
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counters(name, help, [([], value)])
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.gauges(name, help, [([], value as f64)])
    }

    fn counters<'l, const LABELS: usize>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = ([(&'l str, &'l str); LABELS], u64)>,
    ) -> fmt::Result {
        let series = series.into_iter().map(|(labels, value)| (labels, ConstCounter::new(value)));
        self.family(name, help, series)
    }

    fn gauges<'l, const LABELS: usize>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = ([(&'l str, &'l str); LABELS], f64)>,
    ) -> fmt::Result {
        let series = series.into_iter().map(|(labels, value)| (labels, ConstGauge::new(value)));
        self.family(name, help, series)
    }

    /// Writes a family; none where it has no series.
    fn family<'l, const LABELS: usize, M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = ([(&'l str, &'l str); LABELS], M)>,
    ) -> fmt::Result {
        let mut series = series.into_iter().peekable();
        let Some((_, first)) = series.peek() else { return Ok(()) };
        let (name, metric_type) = (format!("trunkdns_{name}"), first.metric_type());
        // A full stop ends every help text by itself.
        let help = help.trim_end_matches('.');
        let mut family = self.encoder.encode_descriptor(&name, help, None, metric_type)?;
        for (labels, metric) in series {
            // Labels without a value say nothing.
            let labels: Vec<_> =
                labels.into_iter().filter(|(_, value)| !value.is_empty()).collect();
            metric.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
