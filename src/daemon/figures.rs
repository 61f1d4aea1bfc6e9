//! What `/metrics` says of everything but HTTP: links to Asterisk, the dialplan's questions, queues between threads.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender};

use super::queues::Queue;
use super::window::Exchange;
use crate::agi::{Counters, Counts, LATENCY_BOUNDS_S};
use crate::ami::figures::LinkFigures;
use crate::http::office::{Figure, FigureKind, Sample};

/// How long the queues between threads are now.
#[derive(Default)]
pub struct Depths(Vec<(&'static str, usize, Depth)>);

type Depth = Box<dyn Fn() -> usize + Send + Sync>;

impl Depths {
    /// Watches a queue by its sending end.
    pub fn add<T: Send + 'static>(&mut self, name: &'static str, queue: Queue, end: &Sender<T>) {
        let end = end.clone();
        self.0.push((name, queue.capacity, Box::new(move || end.len())));
    }

    /// Watches a queue by its receiving end, whose senders end by themselves.
    pub fn add_receiver<T: Send + 'static>(&mut self, name: &'static str, capacity: usize, end: &Receiver<T>) {
        let end = end.clone();
        self.0.push((name, capacity, Box::new(move || end.len())));
    }

    fn figures(&self) -> [Figure; 2] {
        let figure = |name, help, value: &dyn Fn(usize, &Depth) -> usize| Figure {
            name,
            help,
            kind: FigureKind::Gauge,
            samples: self
                .0
                .iter()
                .map(|(queue, capacity, depth)| {
                    sample("", vec![("queue", (*queue).to_owned())], value(*capacity, depth) as u64)
                })
                .collect(),
        };
        [
            figure("queue_length", "What waits in a queue between threads.", &|_, depth| depth()),
            figure("queue_capacity", "What a queue between threads holds at most.", &|capacity, _| capacity),
        ]
    }
}

impl fmt::Debug for Depths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, ..)| name)).finish()
    }
}

/// All of them, as they are now.
pub fn all(exchanges: &[Exchange], agi: Option<&Arc<Counters>>, depths: &Depths) -> Vec<Figure> {
    let mut figures = of_links(exchanges);
    if let Some(agi) = agi {
        figures.extend(of_agi(&agi.read()));
    }
    figures.extend(depths.figures());
    figures
}

fn of_links(exchanges: &[Exchange]) -> Vec<Figure> {
    let figure = |name, help, value: &dyn Fn(&LinkFigures) -> u64| {
        let of = |exchange: &Exchange| sample("", vec![("pbx", exchange.name.clone())], value(&exchange.figures));
        Figure { name, help, kind: FigureKind::Counter, samples: exchanges.iter().map(of).collect() }
    };
    vec![
        figure("ami_bytes_total", "Bytes read from Asterisk.", &|f| f.bytes.load(Ordering::Relaxed)),
        figure("ami_messages_total", "AMI messages read.", &|f| f.messages.load(Ordering::Relaxed)),
        figure("ami_events_total", "Events that matter to calls.", &|f| f.events.load(Ordering::Relaxed)),
        figure("ami_malformed_total", "Messages that are none.", &|f| f.malformed.load(Ordering::Relaxed)),
        figure("ami_oversized_total", "Messages beyond the limits.", &|f| f.oversized.load(Ordering::Relaxed)),
        figure("ami_logins_total", "Accepted logins.", &|f| f.logins.load(Ordering::Relaxed)),
        figure("ami_failures_total", "Links that failed or broke.", &|f| f.failures.load(Ordering::Relaxed)),
        figure("ami_queue_waits_total", "Times the reader had to wait.", &|f| f.queue_waits.load(Ordering::Relaxed)),
    ]
}

fn of_agi(counts: &Counts) -> [Figure; 3] {
    let ends = [
        ("ok", counts.ok),
        ("not_found", counts.not_found),
        ("absent", counts.absent),
        ("timeout", counts.timeout),
        ("error", counts.error),
        ("hung_up", counts.hung_up),
        ("not_agi", counts.not_agi),
        ("unheard", counts.unheard),
    ];
    let sessions = ends.iter().map(|(end, count)| sample("", vec![("end", (*end).to_owned())], *count));
    let refused = [("busy", counts.busy), ("stranger", counts.stranger)];
    let refused = refused.iter().map(|(why, count)| sample("", vec![("why", (*why).to_owned())], *count));
    let mut spread = Vec::new();
    let mut below = 0;
    for (bound, count) in LATENCY_BOUNDS_S.iter().zip(counts.latency) {
        below += count;
        spread.push(sample("_bucket", vec![("le", bound.to_string())], below));
    }
    spread.push(sample("_bucket", vec![("le", "+Inf".to_owned())], counts.timed));
    #[expect(clippy::cast_precision_loss, reason = "no service runs 285,000 years")]
    let sum_s = counts.took_us as f64 / 1e6;
    spread.push(Sample { suffix: "_sum", labels: vec![], value: sum_s });
    spread.push(sample("_count", vec![], counts.timed));
    [
        Figure {
            name: "agi_sessions_total",
            help: "Questions of the dialplan (FastAGI), by how they ended.",
            kind: FigureKind::Counter,
            samples: sessions.collect(),
        },
        Figure {
            name: "agi_refused_total",
            help: "FastAGI connections that became no session.",
            kind: FigureKind::Counter,
            samples: refused.collect(),
        },
        Figure {
            name: "agi_session_duration_seconds",
            help: "How long a question of the dialplan took, from its connection to its end.",
            kind: FigureKind::Histogram,
            samples: spread,
        },
    ]
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows no other numbers")]
fn sample(suffix: &'static str, labels: Vec<(&'static str, String)>, value: u64) -> Sample {
    Sample { suffix, labels, value: value as f64 }
}
