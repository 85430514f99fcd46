//! Parses CEL syntax into a tree by operator precedence.
//!
//! Depth and size are limited while parsing, so that no text can exhaust the stack. Words of SQL (`and`, `not`) are
//! reported and read as what was meant; what breaks the grammar ends the parse.

use std::ops::Range;

use super::lexer::{self, Token, TokenKind};
use super::limits::{DEPTH_MAX, EXPRESSION_BYTES_MAX, LIST_ITEMS_MAX, NODES_MAX};
use super::problem::{ExpressionProblem, codes};
use super::relation::Relation;
use super::syntax::{ArithmeticSign, Syntax, SyntaxKind};

/// Words that CEL keeps for itself and the languages that it is embedded in.
const RESERVED: [&str; 22] = [
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

/// Whether `name` means something else in an expression, so that no fact or condition may bear it.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// The tree of `text` as far as there is one, and everything that breaks the grammar.
pub(super) fn parse(text: &str) -> (Option<Syntax>, Vec<ExpressionProblem>) {
    if text.len() > EXPRESSION_BYTES_MAX {
        let message = format!("the expression is longer than {EXPRESSION_BYTES_MAX} bytes");
        let problem = ExpressionProblem::new(codes::TOO_LARGE, 0..text.len(), message);
        return (None, vec![problem.help("move parts of it into named conditions")]);
    }
    let (tokens, problems) = lexer::tokens(text);
    let had_lexer_problems = !problems.is_empty();
    let mut parser = Parser { text, tokens, at: 0, depth: 0, nodes: 0, problems };
    let tree = parser.whole();
    match tree {
        Ok(tree) => (Some(tree), parser.problems),
        Err(problem) => {
            // A token that was no token leaves a hole: what the parser says about the hole is noise.
            if !had_lexer_problems {
                parser.problems.push(problem);
            }
            (None, parser.problems)
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    nodes: usize,
    problems: Vec<ExpressionProblem>,
}

type Parsed<T = Syntax> = Result<T, ExpressionProblem>;

/// Operators between two operands by how tightly they bind; CEL's order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tightness {
    Or,
    And,
    Relation,
    Sum,
    Product,
}

#[derive(Clone, Copy)]
enum Operator {
    Any,
    All,
    Relation(Relation),
    In,
    Arithmetic(ArithmeticSign),
}

impl Operator {
    fn of(sign: &str) -> Option<(Self, Tightness)> {
        Some(match sign {
            "||" => (Self::Any, Tightness::Or),
            "&&" => (Self::All, Tightness::And),
            "==" => (Self::Relation(Relation::EQUAL), Tightness::Relation),
            "!=" => (Self::Relation(Relation::NOT_EQUAL), Tightness::Relation),
            "<" => (Self::Relation(Relation::LESS), Tightness::Relation),
            "<=" => (Self::Relation(Relation::LESS_OR_EQUAL), Tightness::Relation),
            ">" => (Self::Relation(Relation::GREATER), Tightness::Relation),
            ">=" => (Self::Relation(Relation::GREATER_OR_EQUAL), Tightness::Relation),
            "in" => (Self::In, Tightness::Relation),
            "+" => (Self::Arithmetic(ArithmeticSign::Add), Tightness::Sum),
            "-" => (Self::Arithmetic(ArithmeticSign::Subtract), Tightness::Sum),
            "*" => (Self::Arithmetic(ArithmeticSign::Multiply), Tightness::Product),
            "/" => (Self::Arithmetic(ArithmeticSign::Divide), Tightness::Product),
            "%" => (Self::Arithmetic(ArithmeticSign::Remainder), Tightness::Product),
            _ => return None,
        })
    }
}

impl<'a> Parser<'a> {
    fn whole(&mut self) -> Parsed {
        if self.tokens.len() == 1 {
            return Err(ExpressionProblem::new(codes::SYNTAX, 0..self.text.len(), "the expression is empty"));
        }
        let tree = self.expression()?;
        if self.peek().kind == TokenKind::End { Ok(tree) } else { Err(self.stray()) }
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

    /// The word that stands at `index`, if it is one.
    fn word(&self, index: usize) -> Option<&'a str> {
        let token = self.tokens.get(index)?;
        (token.kind == TokenKind::Word).then(|| &self.text[token.span.clone()])
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek().kind, TokenKind::Sign(found) if found == sign)
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let is_there = self.is_sign(sign);
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

    /// Runs `parse` one level deeper.
    fn deeper(&mut self, parse: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        if self.depth >= DEPTH_MAX {
            return Err(too_deep(self.peek().span.clone()));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn expression(&mut self) -> Parsed {
        self.deeper(|parser| {
            let condition = parser.operation(Tightness::Or)?;
            if !parser.take_sign("?") {
                return Ok(condition);
            }
            let then = parser.deeper(|parser| parser.operation(Tightness::Or))?;
            parser.expect(":", "between the two results of `?`")?;
            let otherwise = parser.expression()?;
            let span = condition.span.start..otherwise.span.end;
            parser.node(span, SyntaxKind::Choose(Box::new(condition), Box::new(then), Box::new(otherwise)))
        })
    }

    fn operation(&mut self, loosest: Tightness) -> Parsed {
        let mut left = self.unary()?;
        while let Some((operator, tightness)) = self.operator() {
            if tightness < loosest {
                break;
            }
            let sign = self.next();
            let right = match tightness {
                Tightness::Or => self.operation(Tightness::And)?,
                Tightness::And => self.operation(Tightness::Relation)?,
                Tightness::Relation => self.operation(Tightness::Sum)?,
                Tightness::Sum => self.operation(Tightness::Product)?,
                Tightness::Product => self.unary()?,
            };
            left = self.joined(operator, sign.span, left, right)?;
        }
        Ok(left)
    }

    /// The operator that stands here; words of SQL are reported and read as operators.
    fn operator(&mut self) -> Option<(Operator, Tightness)> {
        if let TokenKind::Sign(sign) = self.peek().kind {
            return Operator::of(sign);
        }
        let word = self.word(self.at)?;
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
        // The caller looks twice when the operator binds too loosely: reported once.
        let span = self.peek().span.clone();
        if self.problems.iter().all(|problem| problem.span != span) {
            let problem = ExpressionProblem::new(codes::SYNTAX, span, format!("`{word}` is no operator"));
            let is_is = word.eq_ignore_ascii_case("is");
            let more = if is_is { "; `has(x)` asks whether a fact is set" } else { "" };
            self.problems.push(problem.help(format!("write `{meant}`{more}")));
        }
        Operator::of(meant)
    }

    fn joined(&mut self, operator: Operator, sign: Range<usize>, left: Syntax, right: Syntax) -> Parsed {
        let span = left.span.start..right.span.end;
        let (left, right) = match (operator, left, right) {
            (Operator::All, Syntax { kind: SyntaxKind::All(mut parts), .. }, right) => {
                parts.push(right);
                return self.node(span, SyntaxKind::All(parts));
            }
            (Operator::Any, Syntax { kind: SyntaxKind::Any(mut parts), .. }, right) => {
                parts.push(right);
                return self.node(span, SyntaxKind::Any(parts));
            }
            (_, left, right) => (left, right),
        };
        let kind = match operator {
            Operator::All => SyntaxKind::All(vec![left, right]),
            Operator::Any => SyntaxKind::Any(vec![left, right]),
            Operator::In => SyntaxKind::In(Box::new(left), Box::new(right)),
            Operator::Relation(relation) => SyntaxKind::Relation(relation, Box::new(left), Box::new(right), sign),
            Operator::Arithmetic(of) => SyntaxKind::Arithmetic(of, Box::new(left), Box::new(right), sign),
        };
        self.node(span, kind)
    }

    fn unary(&mut self) -> Parsed {
        let start = self.peek().span.start;
        if self.take_sign("!") {
            let operand = self.deeper(Self::unary)?;
            return self.node(start..operand.span.end, SyntaxKind::Not(Box::new(operand)));
        }
        if self.is_not_word() {
            let span = self.next().span;
            let problem = ExpressionProblem::new(codes::SYNTAX, span, "`not` is no operator");
            self.problems.push(problem.help("write `!x`, or with brackets `!(x > 1)`"));
            let operand = self.deeper(|parser| parser.operation(Tightness::Relation))?;
            return self.node(start..operand.span.end, SyntaxKind::Not(Box::new(operand)));
        }
        if self.take_sign("-") {
            if let TokenKind::Int(number) = self.peek().kind {
                let end = self.next().span.end;
                let number = 0_i64.checked_sub_unsigned(number).expect("the lexer lets no larger number through");
                let literal = self.node(start..end, SyntaxKind::Int(number))?;
                return self.members(literal);
            }
            let operand = self.deeper(Self::unary)?;
            return self.node(start..operand.span.end, SyntaxKind::Negate(Box::new(operand)));
        }
        let primary = self.primary()?;
        self.members(primary)
    }

    /// Whether `not` stands here as SQL has it, before an operand.
    fn is_not_word(&self) -> bool {
        let is_not = self.word(self.at).is_some_and(|word| word.eq_ignore_ascii_case("not"));
        is_not
            && match self.tokens.get(self.at + 1).map(|token| &token.kind) {
                Some(TokenKind::Word | TokenKind::Int(_) | TokenKind::Double(_) | TokenKind::String(_)) => true,
                Some(TokenKind::Sign(sign)) => *sign == "(" || *sign == "!",
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
            TokenKind::Word => return self.name(span),
            TokenKind::Sign("(") => {
                let mut inner = self.expression()?;
                let end = self.expect(")", "to close the bracket")?;
                inner.span = span.start..end;
                return Ok(inner);
            }
            TokenKind::Sign("[") => {
                let (items, end) = self.list("]", "to close the list")?;
                if items.len() > LIST_ITEMS_MAX {
                    let message = format!("the list has more than {LIST_ITEMS_MAX} items");
                    let problem = ExpressionProblem::new(codes::TOO_LARGE, span.start..end, message);
                    return Err(problem.help("make a group of them, or split the list with `||`"));
                }
                return self.node(span.start..end, SyntaxKind::List(items));
            }
            TokenKind::End => {
                let message = "the expression ends where a value should stand";
                return Err(ExpressionProblem::new(codes::SYNTAX, self.last_span(), message)
                    .label("a value should follow here"));
            }
            TokenKind::Sign(sign) => {
                let message = format!("`{sign}` stands where a value should");
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
            "null" => {
                let problem = ExpressionProblem::new(codes::UNSUPPORTED, span, "a condition has no null");
                return Err(problem.help("`has(x)` asks whether a fact is set, `!has(x)` whether it is not"));
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

    /// What follows a value: `.name`, `(arguments)`.
    fn members(&mut self, mut of: Syntax) -> Parsed {
        loop {
            if self.take_sign(".") {
                let token = self.next();
                if token.kind != TokenKind::Word {
                    let message = "after `.` the name of a part should stand";
                    return Err(ExpressionProblem::new(codes::SYNTAX, token.span, message));
                }
                let name = self.text[token.span.clone()].into();
                let span = of.span.start..token.span.end;
                of = self.node(span, SyntaxKind::Member(Box::new(of), name, token.span))?;
            } else if self.is_sign("(") && matches!(of.kind, SyntaxKind::Name(_) | SyntaxKind::Member(..)) {
                self.next();
                let (arguments, end) = self.list(")", "to close the call")?;
                let span = of.span.start..end;
                of = self.node(span, SyntaxKind::Call(Box::new(of), arguments))?;
            } else if self.is_sign("[") {
                let problem =
                    ExpressionProblem::new(codes::UNSUPPORTED, self.peek().span.clone(), "nothing has an index");
                return Err(problem.help("read a part by its name: `orders.count`"));
            } else {
                return Ok(of);
            }
        }
    }

    /// Items up to the closing sign, and the end of that sign. A comma may stand before it, as in CEL.
    fn list(&mut self, close: &str, why: &str) -> Parsed<(Vec<Syntax>, usize)> {
        let mut items = Vec::new();
        while !self.is_sign(close) {
            items.push(self.expression()?);
            if !self.take_sign(",") {
                break;
            }
        }
        let end = self.expect(close, why)?;
        Ok((items, end))
    }

    /// Takes `sign` and returns its end.
    fn expect(&mut self, sign: &str, why: &str) -> Parsed<usize> {
        if self.is_sign(sign) {
            return Ok(self.next().span.end);
        }
        if self.peek().kind == TokenKind::End {
            let message = format!("`{sign}` is missing {why}");
            return Err(ExpressionProblem::new(codes::SYNTAX, self.last_span(), message)
                .label(format!("`{sign}` should follow here")));
        }
        let problem = self.stray();
        let help = problem.help.clone().unwrap_or_else(|| format!("or `{sign}` is missing {why}"));
        Err(problem.help(help))
    }

    /// The last token before the end, for arrows that would point behind the text.
    fn last_span(&self) -> Range<usize> {
        self.tokens.iter().rev().nth(1).map_or(0..0, |token| token.span.clone())
    }

    /// What stands where an operator should.
    fn stray(&self) -> ExpressionProblem {
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
            ("?", _) => "put brackets around the inner choice".into(),
            (")" | "]", _) => "nothing is open that it could close".into(),
            _ => "an operator such as `&&` or `==` should stand before it".into(),
        };
        problem.help(help)
    }
}

fn too_deep(span: Range<usize>) -> ExpressionProblem {
    let message = format!("the expression nests deeper than {DEPTH_MAX} levels");
    ExpressionProblem::new(codes::TOO_LARGE, span, message).help("move parts of it into named conditions")
}
