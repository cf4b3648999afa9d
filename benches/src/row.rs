//! One figure.

use serde::Serialize;

use crate::Target;

/// A figure with its target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    id: String,
    value: f64,
    unit: &'static str,
    target: Option<Target>,
    holds: Option<bool>,
}

impl Row {
    /// A figure without a target. `id` is a path such as `calls/echo/32B-1x64/p50-us`.
    ///
    /// # Panics
    ///
    /// `value` is not finite. JSON has no number for it, and it means that nothing was measured.
    pub fn new(id: impl Into<String>, value: f64, unit: &'static str) -> Self {
        let id = id.into();
        assert!(value.is_finite(), "{id} was not measured: {value}");
        Self { id, value, unit, target: None, holds: None }
    }

    /// Adds a target.
    #[must_use]
    pub fn with_target(mut self, target: Target) -> Self {
        self.holds = Some(target.holds(self.value));
        self.target = Some(target);
        self
    }

    /// The figure's path.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The figure.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// The figure's unit.
    pub fn unit(&self) -> &'static str {
        self.unit
    }

    /// The target, if an issue states one.
    pub fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// Returns whether the figure reaches its target. `None` without a target.
    pub fn holds(&self) -> Option<bool> {
        self.holds
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;

    #[test]
    fn json_has_all_five_fields() {
        let row = Row::new("speed/32B-1x64/vs-tarpc", 2.4, "ratio");
        assert_eq!(
            to_value(&row).expect("plain data"),
            json!({"id": "speed/32B-1x64/vs-tarpc", "value": 2.4, "unit": "ratio", "target": null, "holds": null})
        );
        let row = row.with_target(">=2.0".parse().expect("valid"));
        assert_eq!(
            to_value(&row).expect("plain data"),
            json!({"id": "speed/32B-1x64/vs-tarpc", "value": 2.4, "unit": "ratio", "target": ">=2.0", "holds": true})
        );
    }

    #[test]
    fn a_missed_target_does_not_hold() {
        let row = Row::new("calls/echo/32B-1x1/p50-vs-bare-quinn", 1.3, "ratio");
        assert_eq!(row.holds(), None);
        assert_eq!(row.with_target("<=1.15".parse().expect("valid")).holds(), Some(false));
    }

    #[test]
    #[should_panic(expected = "was not measured")]
    fn a_figure_is_a_number() {
        let _ = Row::new("calls/echo", f64::NAN, "us");
    }
}
