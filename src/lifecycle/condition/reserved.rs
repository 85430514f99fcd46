//! Words that cannot be names in expressions.

/// Words that CEL reserves for itself and for host languages, and `now`.
const RESERVED_WORDS: [&str; 22] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
    "now",
];

/// Whether `name` is reserved in expressions, so that a fact or condition cannot have this name.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    RESERVED_WORDS.contains(&name)
}
