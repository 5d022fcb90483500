//! `/metrics`: the snapshot in the Prometheus text format. One row of [`FAMILIES`] is one metric.
//!
//! Base units only: seconds, ratios from 0 to 1, money with its currency as a label. Labels are names that people gave
//! (strategies, symbols) and closed sets; never an id or a sentence. Event time, not wall time, is what times are.

mod families;
mod samples;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use tradewind_core::money::{CASH_SCALE, Cash, Percent, format_trimmed};
use tradewind_core::time::{Millis, Timestamp};
use tradewind_venues::histogram::{Bounds, Histogram};

use crate::snapshot::Snapshot;
use families::FAMILIES;

/// The text format that every Prometheus reads.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A metric: its name without the prefix, its help, its type and where its samples come from.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    samples: fn(&Snapshot) -> Vec<Sample>,
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

struct Sample {
    labels: Vec<(&'static str, String)>,
    value: Value,
}

enum Value {
    Whole(u64),
    Real(f64),
    Buckets(Buckets),
}

/// A histogram as it is written: each bucket with its upper bound and what fell into it and no lower one.
struct Buckets {
    sum: f64,
    count: u64,
    counts: Vec<(f64, u64)>,
}

impl<B: Bounds> From<&Histogram<B>> for Value {
    fn from(histogram: &Histogram<B>) -> Self {
        let counts = histogram.buckets().map(|(upper, count)| {
            let upper = upper.map_or(f64::INFINITY, |upper| nearest(i128::from(upper), 6));
            (upper, count)
        });
        Self::Buckets(Buckets {
            sum: nearest(i128::from(histogram.sum()), 6),
            count: histogram.count(),
            counts: counts.collect(),
        })
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Whole(u64::try_from(value).unwrap_or(u64::MAX))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Whole(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<Cash> for Value {
    fn from(value: Cash) -> Self {
        Self::Real(nearest(value.0, CASH_SCALE))
    }
}

/// As a ratio: 5 % is 0.05.
impl From<Percent> for Value {
    fn from(value: Percent) -> Self {
        Self::Real(nearest(i128::from(value.0), 6))
    }
}

/// As Unix seconds.
impl From<Timestamp> for Value {
    fn from(value: Timestamp) -> Self {
        Self::Real(nearest(i128::from(value.0), 3))
    }
}

/// As seconds.
impl From<Millis> for Value {
    fn from(value: Millis) -> Self {
        Self::Real(nearest(i128::from(value.0), 3))
    }
}

/// The float nearest to a decimal; a metric is no money.
fn nearest(units: i128, scale: u8) -> f64 {
    format_trimmed(units, scale).parse().unwrap_or(f64::NAN)
}

struct Scrape(Arc<Snapshot>);

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        FAMILIES.iter().copied().flatten().try_for_each(|family| family.encode(&self.0, &mut encoder))
    }
}

impl Family {
    fn encode(&self, snapshot: &Snapshot, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let samples = (self.samples)(snapshot);
        if samples.is_empty() {
            return Ok(());
        }
        let kind = match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        };
        let mut metric = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        for sample in &samples {
            // Counters are written by `encode_gauge` too: their names end in `_total` already, in the samples and in
            // the type line, as the text format wants it. `encode_counter` writes OpenMetrics, where they differ.
            if sample.labels.is_empty() {
                sample.value.encode(&mut metric)?;
            } else {
                sample.value.encode(&mut metric.encode_family(&sample.labels)?)?;
            }
        }
        Ok(())
    }
}

impl Value {
    fn encode(&self, metric: &mut MetricEncoder<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => metric.encode_gauge(value),
            Self::Real(value) => metric.encode_gauge(value),
            Self::Buckets(Buckets { sum, count, counts }) => {
                metric.encode_histogram::<NoLabelSet>(*sum, *count, counts, None)
            }
        }
    }
}

/// The snapshot as Prometheus text. Fails only if memory does not take the text.
pub(super) fn render(snapshot: Arc<Snapshot>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("tradewind");
    registry.register_collector(Box::new(Scrape(snapshot)));
    let mut out = String::new();
    text::encode_registry(&mut out, &registry)?;
    Ok(out)
}
