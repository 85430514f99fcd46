//! Splits an expression's text into tokens.
//!
//! Symbols of other languages (`=`, `<>`, `&`) are reported and then read as the CEL symbol that the author meant, so
//! that one mistake does not hide the next.

use std::ops::Range;

use super::literal;
use super::problem::{ExpressionProblem, codes};
use super::syntax::Dialect;

/// A token and its byte range in the text.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Token {
    pub(super) span: Range<usize>,
    pub(super) kind: TokenKind,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum TokenKind {
    /// An unsigned literal. 2^63 is accepted here because it is valid after a minus.
    Int(u64),
    Double(f64),
    String(Box<str>),
    Identifier,
    /// An operator, a bracket, a comma or a dot.
    Symbol(&'static str),
    End,
}

/// The symbols of the grammar, longest first, so that `<=` is not read as `<`.
const SYMBOLS: [&str; 22] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "?", ":", "(", ")", "[", "]", ",", ".",
];

/// Symbols of other languages, each with the CEL symbol that the author meant.
const FOREIGN_SYMBOLS: [(&str, &str); 12] = [
    ("===", "=="),
    ("!==", "!="),
    ("<>", "!="),
    ("=>", ">="),
    ("=<", "<="),
    ("≥", ">="),
    ("≤", "<="),
    ("≠", "!="),
    ("=", "=="),
    ("&", "&&"),
    ("|", "||"),
    ("−", "-"),
];

/// Typographic quotes that word processors insert, as pairs of opening and closing quote.
const CURLY_QUOTES: [(char, char); 5] = [('“', '”'), ('„', '“'), ('«', '»'), ('‘', '’'), ('”', '”')];

/// Splits `text` into tokens, the last one being [`TokenKind::End`], and reports the parts that are not tokens.
pub(super) fn tokens(text: &str, dialect: Dialect) -> (Vec<Token>, Vec<ExpressionProblem>) {
    let mut lexer = Lexer { text, at: 0, dialect, problems: Vec::new() };
    let mut tokens = Vec::new();
    while let Some(start) = lexer.skip_space() {
        if let Some(kind) = lexer.token(start) {
            tokens.push(Token { span: start..lexer.at, kind });
        }
    }
    tokens.push(Token { span: text.len()..text.len(), kind: TokenKind::End });
    (tokens, lexer.problems)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    dialect: Dialect,
    problems: Vec<ExpressionProblem>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|character| !keep(character)).unwrap_or(rest.len());
    }

    /// Skips white space and comments and returns the start of the next token; `None` at the end of the text.
    fn skip_space(&mut self) -> Option<usize> {
        loop {
            self.take_while(|character| matches!(character, ' ' | '\t' | '\n' | '\r' | '\x0c'));
            if !self.rest().starts_with("//") {
                return (self.at < self.text.len()).then_some(self.at);
            }
            self.take_while(|character| character != '\n');
        }
    }

    fn token(&mut self, start: usize) -> Option<TokenKind> {
        let rest = self.rest();
        let first = rest.chars().next()?;
        let second = rest[first.len_utf8()..].chars().next();
        if first.is_ascii_digit() || first == '.' && second.is_some_and(|digit| digit.is_ascii_digit()) {
            return Some(self.number(start));
        }
        if first == '"' || first == '\'' {
            return self.string(start, "");
        }
        if first.is_alphabetic() || first == '_' {
            return self.word(start);
        }
        for (foreign, meant) in FOREIGN_SYMBOLS {
            // `==` and `=>` also start with `=`, so the longest match wins.
            if rest.starts_with(foreign)
                && !SYMBOLS.iter().any(|symbol| rest.starts_with(symbol) && symbol.len() >= foreign.len())
            {
                self.at += foreign.len();
                self.report(
                    start,
                    codes::SYNTAX,
                    format!("`{foreign}` is not an operator"),
                    format!("write `{meant}`"),
                );
                return Some(TokenKind::Symbol(meant));
            }
        }
        if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            self.at += symbol.len();
            return Some(TokenKind::Symbol(symbol));
        }
        self.at += first.len_utf8();
        if self.dialect == Dialect::Records && matches!(first, '{' | '}') {
            return Some(TokenKind::Symbol(if first == '{' { "{" } else { "}" }));
        }
        if let Some((_, close)) = CURLY_QUOTES.iter().find(|(open, _)| *open == first)
            && let Some(length) = self.rest().find(*close)
        {
            let inside = &self.rest()[..length];
            self.at += length + close.len_utf8();
            let help = format!("write text between straight quotes: \"{inside}\"");
            self.report(start, codes::SYNTAX, "text between curly quotes".into(), help);
            return Some(TokenKind::String(inside.into()));
        }
        let (code, help) = match first {
            '“' | '”' | '„' | '«' | '»' | '‘' | '’' | '`' => {
                (codes::SYNTAX, "write text between straight quotes: \"like this\"")
            }
            '}' if self.problems.iter().any(|problem| problem.code == codes::UNSUPPORTED) => return None,
            '{' | '}' => (codes::UNSUPPORTED, "maps and messages are not supported in conditions"),
            '\u{a0}' => (codes::SYNTAX, "this is a non-breaking space; type an ordinary space"),
            ';' => (codes::SYNTAX, "a condition is one expression, without a semicolon"),
            '#' => (codes::SYNTAX, "a comment inside an expression starts with `//`"),
            _ => (codes::SYNTAX, "remove it"),
        };
        self.report(start, code, format!("unexpected character `{first}`"), help.into());
        None
    }

    fn report(&mut self, start: usize, code: &'static str, message: String, help: String) {
        self.problems.push(ExpressionProblem::new(code, start..self.at, message).help(help));
    }

    fn word(&mut self, start: usize) -> Option<TokenKind> {
        self.take_while(|character| character.is_alphanumeric() || character == '_');
        let word = &self.text[start..self.at];
        if self.rest().starts_with(['"', '\'']) {
            match word {
                "r" | "R" => return self.string(start, "r"),
                "b" | "B" | "br" | "rb" | "bR" | "Rb" | "Br" | "rB" | "BR" | "RB" => {
                    let help = "write the text without the `b`".into();
                    self.report(start, codes::UNSUPPORTED, "bytes are not supported in conditions".into(), help);
                    return self.string(self.at, if word.len() == 2 { "r" } else { "" });
                }
                _ => {}
            }
        }
        if !word.is_ascii() {
            let message = format!("the name `{word}` is not in Latin letters");
            let help = "names consist of a-z, A-Z, 0-9 and _; write text between quotes".into();
            self.report(start, codes::SYNTAX, message, help);
        }
        Some(TokenKind::Identifier)
    }

    fn string(&mut self, start: usize, prefix: &str) -> Option<TokenKind> {
        let rest = self.rest();
        let quote = &rest[..1];
        let triple = quote.repeat(3);
        let is_long = rest.starts_with(&triple);
        let mark = if is_long { triple.as_str() } else { quote };
        let body = self.at + mark.len();
        let Some(end) = literal::string_end(&self.text[body..], mark, prefix.is_empty()) else {
            self.at = self.text.len();
            let message = "the text has no closing quote".to_owned();
            self.report(start, codes::SYNTAX, message, format!("close it with {mark}"));
            return None;
        };
        self.at = body + end + mark.len();
        let inside = &self.text[body..body + end];
        if !prefix.is_empty() {
            return Some(TokenKind::String(inside.into()));
        }
        match literal::unescape(inside) {
            Ok(text) => Some(TokenKind::String(text.into())),
            Err((range, message)) => {
                let span = body + range.start..body + range.end;
                let help = r"write a backslash as \\, or put r before the quotes";
                self.problems.push(ExpressionProblem::new(codes::BAD_LITERAL, span, message).help(help));
                Some(TokenKind::String(inside.into()))
            }
        }
    }

    fn number(&mut self, start: usize) -> TokenKind {
        if self.rest().starts_with("0x") || self.rest().starts_with("0X") {
            self.at += 2;
            self.take_while(|character| character.is_ascii_alphanumeric());
            return self.integer(start, &self.text[start + 2..self.at], 16);
        }
        self.take_while(|character| character.is_ascii_digit());
        let mut is_double = false;
        let fraction = self.rest().strip_prefix('.').and_then(|rest| rest.chars().next());
        if fraction.is_some_and(|digit| digit.is_ascii_digit()) {
            is_double = true;
            self.at += 1;
            self.take_while(|character| character.is_ascii_digit());
        }
        if let Some(exponent) = self.rest().strip_prefix(['e', 'E']) {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits.starts_with(|digit: char| digit.is_ascii_digit()) {
                is_double = true;
                self.at += 1 + exponent.len() - digits.len();
                self.take_while(|character| character.is_ascii_digit());
            }
        }
        let digits_end = self.at;
        self.take_while(|character| character.is_alphanumeric() || character == '_');
        let digits = self.text[start..digits_end].to_owned();
        if self.at > digits_end {
            let tail = self.text[digits_end..self.at].to_owned();
            let (code, help) = match (tail.as_str(), is_double) {
                ("d", false) => (codes::BAD_LITERAL, format!("write `days({digits})`")),
                ("w", false) => (codes::BAD_LITERAL, format!("write `days({digits} * 7)`")),
                ("h", false) => (codes::BAD_LITERAL, format!("write `hours({digits})`")),
                ("m" | "min", false) => (codes::BAD_LITERAL, format!("write `minutes({digits})`")),
                ("s", false) => (codes::BAD_LITERAL, format!("write `seconds({digits})`")),
                ("u" | "U", _) => (codes::UNSUPPORTED, format!("write `{digits}`: there is no unsigned number type")),
                (tail, _) if tail.contains('_') => (codes::BAD_LITERAL, "write the digits without `_`".into()),
                _ => (codes::BAD_LITERAL, "a name starts with a letter; write text between quotes".into()),
            };
            let message = format!("`{digits}{tail}` is not a number");
            self.report(start, code, message, help);
        }
        if !is_double {
            return self.integer(start, &digits, 10);
        }
        match digits.parse::<f64>() {
            Ok(number) if number.is_finite() => TokenKind::Double(number),
            _ => {
                let message = format!("the number `{digits}` is too large");
                self.report(start, codes::BAD_LITERAL, message, "the largest is about 1.8e308".into());
                TokenKind::Double(0.0)
            }
        }
    }

    fn integer(&mut self, start: usize, digits: &str, radix: u32) -> TokenKind {
        match u64::from_str_radix(digits, radix) {
            Ok(number) if number <= 1 << 63 => return TokenKind::Int(number),
            Err(error) if *error.kind() == std::num::IntErrorKind::InvalidDigit => {
                let message = format!("`{}` is not a number", &self.text[start..self.at]);
                self.report(start, codes::BAD_LITERAL, message, "the digits after 0x are 0-9 and a-f".into());
            }
            Err(error) if *error.kind() == std::num::IntErrorKind::Empty => {
                let help = "the digits after 0x are 0-9 and a-f".into();
                self.report(start, codes::BAD_LITERAL, "`0x` is not a number".into(), help);
            }
            _ => {
                let message = format!("the number `{}` is too large", &self.text[start..self.at]);
                self.report(start, codes::BAD_LITERAL, message, "the largest is 9223372036854775807".into());
            }
        }
        TokenKind::Int(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<TokenKind> {
        let (tokens, problems) = tokens(text, Dialect::Conditions);
        assert_eq!(problems, [], "{text}");
        tokens.into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn numbers_are_decimal_hexadecimal_or_double() {
        use TokenKind::{Double, End, Int};
        let found = kinds("0 42 0x1F 0XfF 1.5 .25 2e3 1.5E-2 9223372036854775808");
        let expected = [
            Int(0),
            Int(42),
            Int(31),
            Int(255),
            Double(1.5),
            Double(0.25),
            Double(2000.0),
            Double(0.015),
            Int(1 << 63),
        ];
        assert_eq!(found[..found.len() - 1], expected);
        assert_eq!(found.last(), Some(&End));
    }

    #[test]
    fn strings_have_four_kinds_of_quotes_escapes_and_a_raw_form() {
        for (text, expected) in [
            (r#""a'b""#, "a'b"),
            (r#"'a"b'"#, "a\"b"),
            ("'''a'b\n'''", "a'b\n"),
            (r#""""a"b""""#, "a\"b"),
            (r#""\a\b\f\n\r\t\v\\\?\"\'\`""#, "\x07\x08\x0c\n\r\t\x0b\\?\"'`"),
            (r#""\x41\X41\101\u00e9\U0001F600""#, "AAAé😀"),
            (r#"r"\n""#, r"\n"),
            (r"R'\'", r"\"),
        ] {
            assert_eq!(kinds(text), [TokenKind::String(expected.into()), TokenKind::End], "{text}");
        }
    }

    #[test]
    fn spans_are_bytes_and_comments_are_skipped() {
        let (tokens, problems) = tokens("\"é\" <= x // and so on\n && y", Dialect::Conditions);
        assert_eq!(problems, []);
        let spans: Vec<_> = tokens.iter().map(|token| token.span.clone()).collect();
        assert_eq!(spans, [0..4, 5..7, 8..9, 24..26, 27..28, 28..28]);
    }

    #[test]
    fn symbols_of_other_languages_are_reported_and_corrected() {
        for (text, symbol) in [("=", "=="), ("===", "=="), ("<>", "!="), ("=>", ">="), ("&", "&&"), ("≥", ">=")] {
            let (tokens, problems) = tokens(text, Dialect::Conditions);
            assert_eq!(tokens[0].kind, TokenKind::Symbol(symbol));
            assert_eq!(problems[0].help, Some(format!("write `{symbol}`")));
        }
    }

    #[test]
    fn invalid_tokens_are_reported_with_a_correction() {
        for (text, message, help) in [
            ("90d", "`90d` is not a number", "write `days(90)`"),
            ("5u", "`5u` is not a number", "write `5`: there is no unsigned number type"),
            ("1_000", "`1_000` is not a number", "write the digits without `_`"),
            ("0xz", "`0xz` is not a number", "the digits after 0x are 0-9 and a-f"),
            ("1e999", "the number `1e999` is too large", "the largest is about 1.8e308"),
            ("“x", "unexpected character `“`", "write text between straight quotes: \"like this\""),
            ("\"x", "the text has no closing quote", "close it with \""),
            (r#""\q""#, r"`\q` is not a valid escape sequence", r"write a backslash as \\, or put r before the quotes"),
        ] {
            let (_, problems) = tokens(text, Dialect::Conditions);
            assert_eq!((problems[0].message.as_str(), problems[0].help.as_deref()), (message, Some(help)), "{text}");
        }
    }
}
