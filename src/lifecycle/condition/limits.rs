//! Size limits of an expression. They protect the recursive compiler from stack overflow on generated expressions;
//! hand-written ones are far smaller.

/// Maximum length of an expression's text in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 4096;
/// Maximum nesting depth of an expression, including inlined named conditions.
pub const DEPTH_MAX: usize = 64;
/// Maximum number of operators, names and literals of an expression, including inlined named conditions.
pub const NODES_MAX: usize = 1024;
/// Maximum number of items of one list.
pub const LIST_ITEMS_MAX: usize = 256;
