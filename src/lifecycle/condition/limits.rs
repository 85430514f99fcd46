//! How large an expression may be: nobody writes more by hand, and a machine must not make us run out of stack.

/// Bytes of an expression's text.
pub const EXPRESSION_BYTES_MAX: usize = 4096;
/// How deep an expression may nest, named conditions followed.
pub const DEPTH_MAX: usize = 64;
/// Operators, names and literals of an expression, named conditions followed.
pub const NODES_MAX: usize = 1024;
/// Items of one list.
pub const LIST_ITEMS_MAX: usize = 256;
