//! The settings the core decides by: `[numbers]`, `[calls]`, routing.

/// What the core needs of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Rules {}
