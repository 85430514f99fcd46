//! The tokens that requests under `/v1` must send: names, what each may read, and the file that lists them.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// Maximum number of tokens in a file.
const TOKENS_MAX: usize = 100;
/// Minimum length of a token in bytes; a shorter one would be easy to guess.
const LENGTH_MIN: usize = 16;
const LENGTH_MAX: usize = 4096;
/// The name of the token in a file that contains nothing but a token.
const UNNAMED: &str = "token";

/// What a token may read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Role {
    /// Models, totals and partitions; nothing about a single customer.
    Aggregates,
    /// Everything, including customers and transitions.
    Customers,
}

impl Role {
    const NAMES: &[(&str, Self)] = &[("aggregates", Self::Aggregates), ("customers", Self::Customers)];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Aggregates => "aggregates",
            Self::Customers => "customers",
        }
    }
}

#[derive(Clone, PartialEq, Eq)]
struct NamedToken {
    name: String,
    role: Role,
    token: String,
}

/// The tokens of a file. Their values are never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens(Vec<NamedToken>);

impl Tokens {
    /// Parses the text of a file: either one token, which may read everything, or lines of a name, a role (`aggregates`
    /// or `customers`) and a token. Empty lines and lines that start with `#` are skipped.
    ///
    /// # Errors
    /// A message, if a line is invalid. It does not contain a token.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_token = |line: &(usize, &str)| !line.1.is_empty() && !line.1.starts_with('#');
        let lines: Vec<(usize, &str)> = (1..).zip(text.lines().map(str::trim)).filter(is_token).collect();
        if lines.len() > TOKENS_MAX {
            return Err(format!("write at most {TOKENS_MAX} tokens"));
        }
        let mut tokens: Vec<NamedToken> = Vec::with_capacity(lines.len());
        for (number, line) in &lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (name, role, token) = match words[..] {
                [token] if lines.len() == 1 => (UNNAMED, Role::Customers, token),
                [name, role, token] => {
                    let role = Role::NAMES.iter().find(|(name, _)| *name == role);
                    let (_, role) =
                        role.ok_or_else(|| format!("line {number}: the role is `aggregates` or `customers`"))?;
                    (name, *role, token)
                }
                _ => return Err(format!("line {number}: write a name, a role (aggregates or customers) and a token")),
            };
            if !(LENGTH_MIN..=LENGTH_MAX).contains(&token.len()) {
                return Err(format!("line {number}: write a token of {LENGTH_MIN} to {LENGTH_MAX} characters"));
            }
            if tokens.iter().any(|it| it.name == name || it.token == token) {
                return Err(format!("line {number}: the name or the token is used twice"));
            }
            tokens.push(NamedToken { name: name.to_owned(), role, token: token.to_owned() });
        }
        if tokens.is_empty() {
            return Err(format!("write a token of {LENGTH_MIN} to {LENGTH_MAX} characters"));
        }
        Ok(Self(tokens))
    }

    /// Returns the name and the role of the token that equals `presented`.
    ///
    /// Compares with every token, each in constant time, so that response times do not reveal how much of a guess is
    /// correct.
    pub(super) fn find(&self, presented: &str) -> Option<(&str, Role)> {
        let mut found = None;
        for it in &self.0 {
            if equals_in_constant_time(&it.token, presented) {
                found = Some((it.name.as_str(), it.role));
            }
        }
        found
    }
}

fn equals_in_constant_time(own: &str, other: &str) -> bool {
    let (own, other) = (own.as_bytes(), other.as_bytes());
    let differences = own.iter().zip(other).fold(0, |differences, (own, other)| differences | (own ^ other));
    own.len() == other.len() && differences == 0
}

impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|it| (&it.name, it.role))).finish()
    }
}

/// The tokens in effect, which are replaced when their file changes.
#[derive(Clone, Debug)]
pub struct SharedTokens(Arc<RwLock<Arc<Tokens>>>);

impl SharedTokens {
    /// Shares `tokens`.
    #[must_use]
    pub fn new(tokens: Tokens) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(tokens))))
    }

    /// Replaces the tokens for all later requests.
    pub fn replace(&self, tokens: Tokens) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tokens);
    }

    pub(super) fn get(&self) -> Arc<Tokens> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_token_or_lines_of_name_role_and_token() {
        let one = Tokens::parse("0123456789abcdef\n").unwrap();
        assert_eq!(one.find("0123456789abcdef"), Some(("token", Role::Customers)));
        let several = Tokens::parse(
            "# name role token\ndashboard aggregates aaaaaaaaaaaaaaaa\n\nsupport  customers  bbbbbbbbbbbbbbbb\n",
        )
        .unwrap();
        assert_eq!(several.find("aaaaaaaaaaaaaaaa"), Some(("dashboard", Role::Aggregates)));
        assert_eq!(several.find("bbbbbbbbbbbbbbbb"), Some(("support", Role::Customers)));
        for guess in ["", "aaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaab", "aaaaaaaaaaaaaaaaa"] {
            assert_eq!(several.find(guess), None, "{guess}");
        }
    }

    #[test]
    fn invalid_lines_are_named_without_their_tokens() {
        for (text, problem) in [
            ("", "write a token of 16 to 4096 characters"),
            ("short", "line 1: write a token of 16"),
            ("a readers 0123456789abcdef", "line 1: the role is"),
            ("a customers 0123456789abcdef\n0123456789abcdeg", "line 2: write a name, a role"),
            (
                "a customers 0123456789abcdef\na aggregates 0123456789abcdeg",
                "line 2: the name or the token is used twice",
            ),
        ] {
            let found = Tokens::parse(text).unwrap_err();
            assert!(found.starts_with(problem) && !found.contains("0123456789"), "{found}");
        }
        let shown = format!("{:?}", Tokens::parse("0123456789abcdef").unwrap());
        assert!(shown.contains("Customers") && !shown.contains("0123456789"), "{shown}");
    }
}
