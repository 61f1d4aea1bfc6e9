//! Figures as a table or as JSON, each beside the budget it is held against. A benchmark judges nothing: it shows.

use serde_json::{Value, json};

/// What a figure may be at worst.
#[derive(Clone, Copy)]
pub enum Budget {
    AtMost(f64),
    AtLeast(f64),
    None,
}

pub struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    budget: Budget,
}

#[derive(Default)]
pub struct Report {
    figures: Vec<Figure>,
    is_json: bool,
}

impl Report {
    pub fn new(is_json: bool) -> Self {
        let report = Self { figures: Vec::new(), is_json };
        if !is_json {
            println!("{} · {}\n", date(), machine());
        }
        report
    }

    pub fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str, budget: Budget) {
        let figure = Figure { name: name.into(), value, unit, budget };
        if !self.is_json {
            println!("{}", figure.line());
        }
        self.figures.push(figure);
    }

    /// Says the whole where it is wanted as JSON.
    pub fn end(self) {
        if !self.is_json {
            return;
        }
        let figures = self.figures.iter().map(|figure| {
            let (at_most, at_least) = match figure.budget {
                Budget::AtMost(value) => (Some(value), None),
                Budget::AtLeast(value) => (None, Some(value)),
                Budget::None => (None, None),
            };
            json!({
                "name": figure.name, "value": figure.value, "unit": figure.unit,
                "at_most": at_most, "at_least": at_least, "within_budget": figure.is_within(),
            })
        });
        let figures: Vec<Value> = figures.collect();
        println!("{:#}", json!({ "date": date(), "machine": machine(), "figures": figures }));
    }
}

impl Figure {
    /// `None` where nothing is demanded.
    fn is_within(&self) -> Option<bool> {
        match self.budget {
            Budget::AtMost(most) => Some(self.value <= most),
            Budget::AtLeast(least) => Some(self.value >= least),
            Budget::None => None,
        }
    }

    fn line(&self) -> String {
        let budget = match self.budget {
            Budget::AtMost(most) => format!("at most {}", short(most)),
            Budget::AtLeast(least) => format!("at least {}", short(least)),
            Budget::None => String::new(),
        };
        let mark = if self.is_within() == Some(false) { "  MISSED" } else { "" };
        format!("{:<58} {:>11} {:<10} {budget}{mark}", self.name, short(self.value), self.unit)
    }
}

/// Three figures that count.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 || v == 0.0 || (v.fract() == 0.0 && v < 100.0) => thousands(value.round()),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) && digits.as_bytes()[nth - 1].is_ascii_digit() {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn date() -> String {
    pinconnector::clock::rfc3339(pinconnector::clock::Now::read().wall_ms)
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let of = |name: &str| {
        let line = cpu.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    format!(
        "{cores} cores of {}, Linux {}, load {}",
        of("model name").unwrap_or_else(|| "an unnamed processor".to_owned()),
        kernel.trim(),
        load.split_whitespace().next().unwrap_or("?")
    )
}

/// The value below which this share of ascending `values` lies.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    match values.len() {
        0 => f64::NAN,
        length => values[((length - 1) as f64 * share).round() as usize],
    }
}
