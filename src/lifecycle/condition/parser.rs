//! Operator-precedence parser for CEL syntax.
//!
//! The parser enforces the limits on depth and size, so that no text can overflow the stack. SQL keywords (`and`,
//! `not`) are reported and then read as the CEL operator that the author meant. Any other violation of the grammar ends
//! the parse.

use std::ops::Range;

use super::binary_operator::{Operator, Precedence};
use super::lexer::{self, Token, TokenKind};
use super::limits::{DEPTH_MAX, EXPRESSION_BYTES_MAX, LIST_ITEMS_MAX, NODES_MAX};
use super::problem::{ExpressionProblem, codes};
use super::reserved::is_reserved;
use super::syntax::{Dialect, Syntax, SyntaxKind};

impl Syntax {
    /// Parses `text`.
    ///
    /// # Errors
    /// Returns every violation of the grammar or of the size limits.
    pub fn parse(text: &str) -> Result<Self, Vec<ExpressionProblem>> {
        Self::parse_as(text, Dialect::Conditions)
    }

    /// Parses `text` in `dialect`.
    ///
    /// # Errors
    /// Returns every violation of the grammar or of the size limits.
    pub fn parse_as(text: &str, dialect: Dialect) -> Result<Self, Vec<ExpressionProblem>> {
        match parse(text, dialect) {
            (Some(syntax), problems) if problems.is_empty() => Ok(syntax),
            (_, problems) => Err(problems),
        }
    }
}

/// Parses `text` and returns the tree, if there is one, and all violations of the grammar.
pub(super) fn parse(text: &str, dialect: Dialect) -> (Option<Syntax>, Vec<ExpressionProblem>) {
    if text.len() > EXPRESSION_BYTES_MAX {
        let message = format!("the expression is longer than {EXPRESSION_BYTES_MAX} bytes");
        let problem = ExpressionProblem::new(codes::TOO_LARGE, 0..text.len(), message);
        return (None, vec![problem.help("move parts of it into named conditions")]);
    }
    let (tokens, problems) = lexer::tokens(text, dialect);
    let had_lexer_problems = !problems.is_empty();
    let mut parser = Parser { text, dialect, tokens, at: 0, depth: 0, nodes: 0, problems };
    let tree = parser.parse_all();
    match tree {
        Ok(tree) => (Some(tree), parser.problems),
        Err(problem) => {
            // The lexer dropped an invalid token, which may be the only cause of this error.
            if !had_lexer_problems {
                parser.problems.push(problem);
            }
            (None, parser.problems)
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    dialect: Dialect,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    nodes: usize,
    problems: Vec<ExpressionProblem>,
}

type Parsed<T = Syntax> = Result<T, ExpressionProblem>;

impl<'a> Parser<'a> {
    fn parse_all(&mut self) -> Parsed {
        if self.tokens.len() == 1 {
            return Err(ExpressionProblem::new(codes::SYNTAX, 0..self.text.len(), "the expression is empty"));
        }
        let tree = self.expression()?;
        if self.peek().kind == TokenKind::End { Ok(tree) } else { Err(self.unexpected()) }
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.at]
    }

    fn next(&mut self) -> Token {
        let token = self.tokens[self.at].clone();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    /// Returns the text of the token at `index` if it is an identifier.
    fn identifier(&self, index: usize) -> Option<&'a str> {
        let token = self.tokens.get(index)?;
        (token.kind == TokenKind::Identifier).then(|| &self.text[token.span.clone()])
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.peek().kind, TokenKind::Symbol(found) if found == symbol)
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let is_there = self.is_symbol(symbol);
        if is_there {
            self.next();
        }
        is_there
    }

    fn node(&mut self, span: Range<usize>, kind: SyntaxKind) -> Parsed {
        self.nodes += 1;
        let height = 1 + kind.children().map(|child| child.height).max().unwrap_or(0);
        if self.nodes > NODES_MAX {
            let message = format!("the expression has more than {NODES_MAX} operators, names and literals");
            return Err(
                ExpressionProblem::new(codes::TOO_LARGE, span, message).help("move parts of it into named conditions")
            );
        }
        if height > DEPTH_MAX {
            return Err(too_deep(span));
        }
        Ok(Syntax { span, height, kind })
    }

    /// Runs `parse` one nesting level deeper.
    fn nested(&mut self, parse: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        if self.depth >= DEPTH_MAX {
            return Err(too_deep(self.peek().span.clone()));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn expression(&mut self) -> Parsed {
        self.nested(|parser| {
            let condition = parser.operator_chain(Precedence::Or)?;
            if !parser.take_symbol("?") {
                return Ok(condition);
            }
            let then = parser.nested(|parser| parser.operator_chain(Precedence::Or))?;
            parser.expect(":", "between the two results of `?`")?;
            let otherwise = parser.expression()?;
            let span = condition.span.start..otherwise.span.end;
            parser.node(span, SyntaxKind::Conditional(Box::new(condition), Box::new(then), Box::new(otherwise)))
        })
    }

    fn operator_chain(&mut self, lowest: Precedence) -> Parsed {
        let mut left = self.unary()?;
        while let Some((operator, precedence)) = self.operator() {
            if precedence < lowest {
                break;
            }
            let token = self.next();
            let right = match precedence {
                Precedence::Or => self.operator_chain(Precedence::And)?,
                Precedence::And => self.operator_chain(Precedence::Relation)?,
                Precedence::Relation => self.operator_chain(Precedence::Sum)?,
                Precedence::Sum => self.operator_chain(Precedence::Product)?,
                Precedence::Product => self.unary()?,
            };
            left = self.binary(operator, token.span, left, right)?;
        }
        Ok(left)
    }

    /// Returns the operator at the current token. SQL keywords are reported and accepted as operators.
    fn operator(&mut self) -> Option<(Operator, Precedence)> {
        if let TokenKind::Symbol(symbol) = self.peek().kind {
            return Operator::of(symbol);
        }
        let word = self.identifier(self.at)?;
        if word == "in" {
            return Operator::of("in");
        }
        let meant = match word.to_ascii_lowercase().as_str() {
            "and" => "&&",
            "or" => "||",
            "is" | "eq" => "==",
            "mod" => "%",
            _ => return None,
        };
        // The caller may look at the same token again at a lower precedence; report it once.
        let span = self.peek().span.clone();
        if self.problems.iter().all(|problem| problem.span != span) {
            let problem = ExpressionProblem::new(codes::SYNTAX, span, format!("`{word}` is not an operator"));
            let is_sql_is = word.eq_ignore_ascii_case("is");
            let more = if is_sql_is { "; `has(x)` tests whether a fact is set" } else { "" };
            self.problems.push(problem.help(format!("write `{meant}`{more}")));
        }
        Operator::of(meant)
    }

    fn binary(&mut self, operator: Operator, operator_span: Range<usize>, left: Syntax, right: Syntax) -> Parsed {
        let span = left.span.start..right.span.end;
        let (left, right) = match (operator, left, right) {
            (Operator::And, Syntax { kind: SyntaxKind::And(mut parts), .. }, right) => {
                parts.push(right);
                return self.node(span, SyntaxKind::And(parts));
            }
            (Operator::Or, Syntax { kind: SyntaxKind::Or(mut parts), .. }, right) => {
                parts.push(right);
                return self.node(span, SyntaxKind::Or(parts));
            }
            (_, left, right) => (left, right),
        };
        let kind = match operator {
            Operator::And => SyntaxKind::And(vec![left, right]),
            Operator::Or => SyntaxKind::Or(vec![left, right]),
            Operator::In => SyntaxKind::In(Box::new(left), Box::new(right)),
            Operator::Relation(relation) => {
                SyntaxKind::Relation(relation, Box::new(left), Box::new(right), operator_span)
            }
            Operator::Arithmetic(of) => SyntaxKind::Arithmetic(of, Box::new(left), Box::new(right), operator_span),
        };
        self.node(span, kind)
    }

    fn unary(&mut self) -> Parsed {
        let start = self.peek().span.start;
        if self.take_symbol("!") {
            let operand = self.nested(Self::unary)?;
            return self.node(start..operand.span.end, SyntaxKind::Not(Box::new(operand)));
        }
        if self.is_sql_not() {
            let span = self.next().span;
            let problem = ExpressionProblem::new(codes::SYNTAX, span, "`not` is not an operator");
            self.problems.push(problem.help("write `!x`, or with parentheses `!(x > 1)`"));
            let operand = self.nested(|parser| parser.operator_chain(Precedence::Relation))?;
            return self.node(start..operand.span.end, SyntaxKind::Not(Box::new(operand)));
        }
        if self.take_symbol("-") {
            if let TokenKind::Int(number) = self.peek().kind {
                let end = self.next().span.end;
                let number = 0_i64.checked_sub_unsigned(number).expect("the lexer rejects numbers above 2^63");
                let literal = self.node(start..end, SyntaxKind::Int(number))?;
                return self.postfix(literal);
            }
            let operand = self.nested(Self::unary)?;
            return self.node(start..operand.span.end, SyntaxKind::Negate(Box::new(operand)));
        }
        let primary = self.primary()?;
        self.postfix(primary)
    }

    /// Whether the current token is SQL's `not` before an operand.
    fn is_sql_not(&self) -> bool {
        let is_not = self.identifier(self.at).is_some_and(|word| word.eq_ignore_ascii_case("not"));
        is_not
            && match self.tokens.get(self.at + 1).map(|token| &token.kind) {
                Some(TokenKind::Identifier | TokenKind::Int(_) | TokenKind::Double(_) | TokenKind::String(_)) => true,
                Some(TokenKind::Symbol(symbol)) => *symbol == "(" || *symbol == "!",
                _ => false,
            }
    }

    fn primary(&mut self) -> Parsed {
        let token = self.next();
        let span = token.span.clone();
        let kind = match token.kind {
            TokenKind::Int(number) => {
                let Ok(number) = i64::try_from(number) else {
                    let message = format!("the number `{number}` is too large");
                    let problem = ExpressionProblem::new(codes::BAD_LITERAL, span, message);
                    return Err(problem.help("the largest is 9223372036854775807"));
                };
                SyntaxKind::Int(number)
            }
            TokenKind::Double(number) => SyntaxKind::Double(number),
            TokenKind::String(text) => SyntaxKind::String(text),
            TokenKind::Identifier => return self.name(span),
            TokenKind::Symbol("(") => {
                let mut inner = self.expression()?;
                let end = self.expect(")", "to close the parenthesis")?;
                inner.span = span.start..end;
                return Ok(inner);
            }
            TokenKind::Symbol("[") => {
                let (items, end) = self.list("]", "to close the list")?;
                if items.len() > LIST_ITEMS_MAX {
                    let message = format!("the list has more than {LIST_ITEMS_MAX} items");
                    let problem = ExpressionProblem::new(codes::TOO_LARGE, span.start..end, message);
                    return Err(problem.help("declare a group instead, or split the list with `||`"));
                }
                return self.node(span.start..end, SyntaxKind::List(items));
            }
            TokenKind::Symbol("{") => return self.map(span.start),
            TokenKind::End => {
                let message = "the expression ends where a value is expected";
                return Err(ExpressionProblem::new(codes::SYNTAX, self.last_span(), message)
                    .label("expected a value after this"));
            }
            TokenKind::Symbol(symbol) => {
                let message = format!("expected a value, found `{symbol}`");
                return Err(ExpressionProblem::new(codes::SYNTAX, span, message));
            }
        };
        self.node(span, kind)
    }

    fn name(&mut self, span: Range<usize>) -> Parsed {
        let word = &self.text[span.clone()];
        let kind = match word {
            "true" => SyntaxKind::Bool(true),
            "false" => SyntaxKind::Bool(false),
            "null" if self.dialect == Dialect::Records => SyntaxKind::Null,
            "null" => {
                let problem = ExpressionProblem::new(codes::UNSUPPORTED, span, "null is not supported in conditions");
                return Err(problem.help("write `has(x)` for \"is set\" and `!has(x)` for \"is not set\""));
            }
            "now" => SyntaxKind::Name(word.into()),
            _ if is_reserved(word) => {
                let message = format!("`{word}` is a reserved word and cannot be a name");
                let problem = ExpressionProblem::new(codes::SYNTAX, span, message);
                return Err(if word == "if" || word == "else" {
                    problem.help("write `condition ? value : other value`")
                } else {
                    problem
                });
            }
            _ => SyntaxKind::Name(word.into()),
        };
        self.node(span, kind)
    }

    /// Parses the members of a map up to its closing brace; `start` is the position of the opening one.
    fn map(&mut self, start: usize) -> Parsed {
        let mut keys_and_values = Vec::new();
        while !self.is_symbol("}") {
            keys_and_values.push(self.expression()?);
            self.expect(":", "between a key and its value")?;
            keys_and_values.push(self.expression()?);
            if !self.take_symbol(",") {
                break;
            }
        }
        let end = self.expect("}", "to close the map")?;
        if keys_and_values.len() > 2 * LIST_ITEMS_MAX {
            let message = format!("the map has more than {LIST_ITEMS_MAX} members");
            return Err(ExpressionProblem::new(codes::TOO_LARGE, start..end, message));
        }
        self.node(start..end, SyntaxKind::Map(keys_and_values))
    }

    /// Parses the postfix operators of a value: `.name`, `(arguments)`, and for records `[index]`.
    fn postfix(&mut self, mut of: Syntax) -> Parsed {
        loop {
            if self.take_symbol(".") {
                let token = self.next();
                if token.kind != TokenKind::Identifier {
                    let message = "expected a name after `.`";
                    return Err(ExpressionProblem::new(codes::SYNTAX, token.span, message));
                }
                let name = self.text[token.span.clone()].into();
                let span = of.span.start..token.span.end;
                of = self.node(span, SyntaxKind::Member(Box::new(of), name, token.span))?;
            } else if self.is_symbol("(") && matches!(of.kind, SyntaxKind::Name(_) | SyntaxKind::Member(..)) {
                self.next();
                let (arguments, end) = self.list(")", "to close the call")?;
                let span = of.span.start..end;
                of = self.node(span, SyntaxKind::Call(Box::new(of), arguments))?;
            } else if self.dialect == Dialect::Records && self.take_symbol("[") {
                let index = self.expression()?;
                let end = self.expect("]", "to close the index")?;
                let span = of.span.start..end;
                of = self.node(span, SyntaxKind::Index(Box::new(of), Box::new(index)))?;
            } else if self.is_symbol("[") {
                let problem =
                    ExpressionProblem::new(codes::UNSUPPORTED, self.peek().span.clone(), "values cannot be indexed");
                return Err(problem.help("read a field by its name: `orders.count`"));
            } else {
                return Ok(of);
            }
        }
    }

    /// Parses items up to the closing symbol and returns them with the end of that symbol. A trailing comma is allowed,
    /// as in CEL.
    fn list(&mut self, close: &str, why: &str) -> Parsed<(Vec<Syntax>, usize)> {
        let mut items = Vec::new();
        while !self.is_symbol(close) {
            items.push(self.expression()?);
            if !self.take_symbol(",") {
                break;
            }
        }
        let end = self.expect(close, why)?;
        Ok((items, end))
    }

    /// Consumes `symbol` and returns its end.
    fn expect(&mut self, symbol: &str, why: &str) -> Parsed<usize> {
        if self.is_symbol(symbol) {
            return Ok(self.next().span.end);
        }
        if self.peek().kind == TokenKind::End {
            let message = format!("`{symbol}` is missing {why}");
            return Err(ExpressionProblem::new(codes::SYNTAX, self.last_span(), message)
                .label(format!("expected `{symbol}` after this")));
        }
        let problem = self.unexpected();
        let help = problem.help.clone().unwrap_or_else(|| format!("or `{symbol}` is missing {why}"));
        Err(problem.help(help))
    }

    /// Returns the range of the last token, for problems at the end of the text.
    fn last_span(&self) -> Range<usize> {
        self.tokens.iter().rev().nth(1).map_or(0..0, |token| token.span.clone())
    }

    /// Reports the current token, found where an operator is expected.
    fn unexpected(&self) -> ExpressionProblem {
        let token = self.peek();
        let text = &self.text[token.span.clone()];
        let problem = ExpressionProblem::new(codes::SYNTAX, token.span.clone(), format!("unexpected `{text}`"));
        let before = self.at.checked_sub(1).map(|at| &self.tokens[at]);
        let number = before.filter(|token| matches!(token.kind, TokenKind::Int(_)));
        let help = match (text.to_ascii_lowercase().as_str(), number) {
            ("day" | "days", Some(number)) => format!("write `days({})`", &self.text[number.span.clone()]),
            ("hour" | "hours", Some(number)) => format!("write `hours({})`", &self.text[number.span.clone()]),
            ("minute" | "minutes", Some(number)) => format!("write `minutes({})`", &self.text[number.span.clone()]),
            ("between", _) => "write `x >= 1 && x <= 5`".into(),
            ("like", _) => "write `x.startsWith(\"...\")` or `x.contains(\"...\")`".into(),
            ("not", _) => "write `!(x in [...])`".into(),
            ("?", _) => "put parentheses around the inner `? :`".into(),
            (")" | "]", _) => "there is no matching opening bracket".into(),
            _ => "expected an operator such as `&&` or `==` before it".into(),
        };
        problem.help(help)
    }
}

fn too_deep(span: Range<usize>) -> ExpressionProblem {
    let message = format!("the expression nests deeper than {DEPTH_MAX} levels");
    ExpressionProblem::new(codes::TOO_LARGE, span, message).help("move parts of it into named conditions")
}
