//! The Prometheus exposition: [`Snapshot`] → samples (pure) → the `metrics` facade's handles → text.
//!
//! A timer publishes, a scrape renders what was published last. Histograms are written as text here: the exporter's own
//! would keep every single value until it is scraped.

use std::collections::BTreeMap;

use metrics::{Counter, Gauge, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use super::histograms;
use super::samples::{Labels, Sample, Value, samples};
use super::snapshot::Snapshot;

pub struct Exposition {
    recorder: PrometheusRecorder,
    handles: BTreeMap<(&'static str, Labels), Handle>,
    /// Counts calls of `publish`.
    round: u64,
    histograms: String,
}

struct Handle {
    kind: Kind,
    /// The last round that had this series.
    round: u64,
}

enum Kind {
    Counter(Counter),
    Gauge(Gauge),
}

const METADATA: Metadata<'static> = Metadata::new("pgherd", Level::INFO, None);

// === impl Exposition ===

impl Default for Exposition {
    fn default() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        Self { recorder, handles: BTreeMap::new(), round: 0, histograms: String::new() }
    }
}

impl Exposition {
    /// Makes `snapshot` what the next scrapes see.
    pub fn publish(&mut self, snapshot: &Snapshot) {
        self.histograms = histograms::text(snapshot);
        let samples = samples(snapshot);
        self.set(&samples);
        // A series that ended (a role that changed, a pool that went) must not be seen beside its successor, and a
        // recorder cannot forget: begin a new one.
        if self.handles.values().any(|handle| handle.round != self.round) {
            let histograms = std::mem::take(&mut self.histograms);
            *self = Self { histograms, ..Self::default() };
            self.set(&samples);
        }
    }

    /// The text format 0.0.4.
    pub fn render(&self) -> String {
        let mut text = self.recorder.handle().render();
        text.push_str(&self.histograms);
        text
    }

    fn set(&mut self, samples: &[Sample]) {
        self.round += 1;
        for sample in samples {
            let key = (sample.family.name, sample.labels.clone());
            let recorder = &self.recorder;
            let handle = self.handles.entry(key).or_insert_with(|| register(recorder, sample));
            handle.round = self.round;
            match (&handle.kind, sample.value) {
                (Kind::Counter(counter), Value::Count(count)) => counter.absolute(count),
                (Kind::Gauge(gauge), Value::Gauge(value)) => gauge.set(value),
                // A family is of one kind.
                (Kind::Counter(_), Value::Gauge(_)) | (Kind::Gauge(_), Value::Count(_)) => {}
            }
        }
    }
}

fn register(recorder: &PrometheusRecorder, sample: &Sample) -> Handle {
    let (name, help) = (sample.family.name, sample.family.help);
    // The exporter takes a backslash for the begin of an escape unless it is doubled.
    let label = |(name, value): &(&'static str, String)| Label::new(*name, value.replace('\\', "\\\\"));
    let key = Key::from_parts(name, sample.labels.iter().map(label).collect::<Vec<_>>());
    let kind = match sample.value {
        Value::Count(_) => {
            recorder.describe_counter(KeyName::from(name), None, help.into());
            Kind::Counter(recorder.register_counter(&key, &METADATA))
        }
        Value::Gauge(_) => {
            recorder.describe_gauge(KeyName::from(name), None, help.into());
            Kind::Gauge(recorder.register_gauge(&key, &METADATA))
        }
    };
    Handle { kind, round: 0 }
}
