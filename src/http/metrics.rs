//! `/metrics`: figures as Prometheus reads them, and `/health`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::office::{CrmTook, Figure, FigureKind, Sample, Status};

/// Upper bounds in seconds.
const BUCKETS_S: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// How long requests to the CRMs took.
#[derive(Debug, Default)]
pub struct CrmLatency(BTreeMap<(String, &'static str, bool), Spread>);

#[derive(Debug, Default)]
struct Spread {
    /// Of each bucket alone.
    counts: [u64; BUCKETS_S.len()],
    count: u64,
    sum_ms: u64,
}

impl CrmLatency {
    pub fn add(&mut self, took: CrmTook) {
        let spread = self.0.entry((took.crm, took.op, took.succeeded)).or_default();
        #[expect(clippy::cast_precision_loss, reason = "no request takes 285,000 years")]
        let seconds = took.took_ms as f64 / 1000.0;
        if let Some(bucket) = BUCKETS_S.iter().position(|bound| seconds <= *bound) {
            spread.counts[bucket] += 1;
        }
        spread.count += 1;
        spread.sum_ms = spread.sum_ms.saturating_add(took.took_ms);
    }

    pub fn figure(&self) -> Figure {
        let mut samples = Vec::new();
        for ((crm, op, succeeded), spread) in &self.0 {
            let result = if *succeeded { "ok" } else { "failed" };
            let labels = vec![("crm", crm.clone()), ("op", (*op).to_owned()), ("result", result.to_owned())];
            let mut below = 0;
            for (bound, count) in BUCKETS_S.iter().zip(spread.counts) {
                below += count;
                let mut labels = labels.clone();
                labels.push(("le", bound.to_string()));
                samples.push(Sample { suffix: "_bucket", labels, value: float(below) });
            }
            let mut all = labels.clone();
            all.push(("le", "+Inf".to_owned()));
            samples.push(Sample { suffix: "_bucket", labels: all, value: float(spread.count) });
            samples.push(Sample { suffix: "_sum", labels: labels.clone(), value: float(spread.sum_ms) / 1000.0 });
            samples.push(Sample { suffix: "_count", labels, value: float(spread.count) });
        }
        let help = "How long requests to a CRM took.";
        Figure { name: "crm_request_duration_seconds", help, kind: FigureKind::Histogram, samples }
    }
}

/// A figure with one sample and no labels.
pub fn single(name: &'static str, help: &'static str, kind: FigureKind, value: u64) -> Figure {
    Figure { name, help, kind, samples: vec![Sample { suffix: "", labels: vec![], value: float(value) }] }
}

/// What [`Status`] tells, as figures.
pub fn of_status(status: &Status, now_ms: i64) -> Vec<Figure> {
    use FigureKind::Gauge;
    let each = |name, help, samples: Vec<(&'static str, String, f64)>| Figure {
        name,
        help,
        kind: Gauge,
        samples: samples
            .into_iter()
            .map(|(label, of, value)| Sample { suffix: "", labels: vec![(label, of)], value })
            .collect(),
    };
    let crms = |value: &dyn Fn(&super::office::CrmStatus) -> f64| {
        status.crms.iter().map(|crm| ("crm", crm.name.clone(), value(crm))).collect()
    };
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit")]
    let age_s = |since: i64| (now_ms - since).max(0) as f64 / 1000.0;
    let up = status.pbxs.iter().map(|pbx| ("pbx", pbx.name.clone(), f64::from(u8::from(pbx.up)))).collect();
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit")]
    let started_s = status.started_at.0 as f64 / 1000.0;
    vec![
        each("pbx_up", "Whether the link to this exchange is up.", up),
        each("outbox_waiting", "Records on their way to this CRM.", crms(&|crm| float(crm.waiting))),
        each("outbox_parked", "Records this CRM refused.", crms(&|crm| float(crm.parked))),
        each(
            "outbox_oldest_age_seconds",
            "How long the oldest record has waited for this CRM.",
            crms(&|crm| crm.oldest_at.map_or(0.0, |at| age_s(at.0))),
        ),
        each("crm_up", "Whether this CRM takes records.", crms(&|crm| f64::from(u8::from(crm.down_since.is_none())))),
        single("calls_to_call_back", "Missed calls that nobody has called back.", Gauge, status.today.to_call_back),
        Figure {
            name: "start_time_seconds",
            help: "When the service was started.",
            kind: Gauge,
            samples: vec![Sample { suffix: "", labels: vec![], value: started_s }],
        },
    ]
}

/// Memory as the kernel counts it, in bytes.
pub fn of_process() -> Vec<Figure> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kb| kb * 1024)
    };
    let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")?.trim().parse().ok()).unwrap_or(0);
    use FigureKind::Gauge;
    vec![
        single("resident_memory_bytes", "Memory in use, shared pages included.", Gauge, kilobytes("VmRSS")),
        single("anonymous_memory_bytes", "Memory in use that is ours alone.", Gauge, kilobytes("RssAnon")),
        single("threads", "Threads of the process.", Gauge, threads),
    ]
}

/// The text Prometheus reads (version 0.0.4).
pub fn text(figures: &[Figure]) -> String {
    let mut text = String::new();
    for figure in figures {
        let kind = match figure.kind {
            FigureKind::Counter => "counter",
            FigureKind::Gauge => "gauge",
            FigureKind::Histogram => "histogram",
        };
        let name = figure.name;
        // Writing into memory does not fail.
        let _ = writeln!(text, "# HELP pinconnector_{name} {}", figure.help.replace('\\', "\\\\").replace('\n', "\\n"));
        let _ = writeln!(text, "# TYPE pinconnector_{name} {kind}");
        for sample in &figure.samples {
            let _ = write!(text, "pinconnector_{name}{}", sample.suffix);
            for (nth, (label, value)) in sample.labels.iter().enumerate() {
                let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                let _ = write!(text, "{}{label}=\"{value}\"", if nth == 0 { '{' } else { ',' });
            }
            let _ = writeln!(text, "{} {}", if sample.labels.is_empty() { "" } else { "}" }, sample.value);
        }
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows no other numbers")]
pub fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_as_prometheus_reads_them() {
        let mut latency = CrmLatency::default();
        for took_ms in [5, 20, 40_000] {
            latency.add(CrmTook { crm: "v\"t".into(), op: "records", took_ms, succeeded: true });
        }
        let written = text(&[single("threads", "Threads.", FigureKind::Gauge, 7), latency.figure()]);
        for line in [
            "# TYPE pinconnector_threads gauge",
            "pinconnector_threads 7",
            "# TYPE pinconnector_crm_request_duration_seconds histogram",
            "pinconnector_crm_request_duration_seconds_bucket{crm=\"v\\\"t\",op=\"records\",result=\"ok\",le=\"0.01\"} 1",
            "pinconnector_crm_request_duration_seconds_bucket{crm=\"v\\\"t\",op=\"records\",result=\"ok\",le=\"0.025\"} 2",
            "pinconnector_crm_request_duration_seconds_bucket{crm=\"v\\\"t\",op=\"records\",result=\"ok\",le=\"+Inf\"} 3",
            "pinconnector_crm_request_duration_seconds_sum{crm=\"v\\\"t\",op=\"records\",result=\"ok\"} 40.025",
            "pinconnector_crm_request_duration_seconds_count{crm=\"v\\\"t\",op=\"records\",result=\"ok\"} 3",
        ] {
            assert!(written.lines().any(|written| written == line), "{line}\n{written}");
        }
    }
}
