//! Budgets: what one request may cost. Every parser of this crate takes them, so that no input can exhaust the server.

/// The budgets of a tenant. Sizes are in bytes, the rest are counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Length of a filter.
    pub filter_length: usize,
    /// Nesting of parentheses, `not` and value paths in a filter.
    pub filter_depth: usize,
    /// Comparisons in a filter.
    pub filter_terms: usize,
    /// Nesting of a JSON body.
    pub json_depth: usize,
    /// Values in a JSON body, inner ones included: each costs far more memory than the few bytes it may be written in.
    pub json_values: usize,
    /// Operations in one PATCH.
    pub patch_operations: usize,
}

impl Limits {
    /// Generous to every client known, and far below what would hurt.
    pub const DEFAULT: Limits = Limits {
        filter_length: 8 * 1024,
        filter_depth: 32,
        filter_terms: 256,
        json_depth: 32,
        json_values: 1_000_000,
        patch_operations: 5_000,
    };
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::DEFAULT
    }
}
