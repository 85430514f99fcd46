//! The functions of expressions: their signatures, and where their code is.
//!
//! A function of a missing value is missing, unless its description says otherwise: null in, null out.

mod digest;
mod list;
mod money;
mod number;
mod text;
mod time;

pub(super) use text::{plain_text, snake_case_of};
pub(super) use time::TimePattern;

use super::datum::Datum;
use super::error::EvaluationError;
use super::kind::Kind;

/// A function and its signature.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    /// The kinds of the parameters.
    pub(super) parameters: &'static [Kind],
    /// How many of the parameters must be given.
    pub(super) required: usize,
    /// Whether the last parameter may be repeated.
    pub(super) is_variadic: bool,
    pub(super) result: Kind,
    pub(super) call: Code,
}

/// The code of a function. It may take the values of its arguments.
pub(super) type Code = for<'a> fn(&mut [Datum<'a>]) -> Result<Datum<'a>, EvaluationError>;

const fn function(name: &'static str, parameters: &'static [Kind], result: Kind, call: Code) -> Function {
    Function { name, parameters, required: parameters.len(), is_variadic: false, result, call }
}

impl Function {
    const fn optional(self, optional: usize) -> Self {
        Self { required: self.required - optional, ..self }
    }

    const fn variadic(self) -> Self {
        Self { is_variadic: true, ..self }
    }
}

use Kind::{Any, Bool, List, Number, Text};

/// All functions but those that the compiler knows: `attempt`, `coalesce`, `pattern`, `format_time` and the loops.
static FUNCTIONS: &[Function] = &[
    function("has", &[Any], Bool, |values| Ok(Datum::Bool(!values[0].is_null()))),
    function("omit_null", &[Any], Any, |values| {
        let value = take(values, 0);
        Ok(if value.is_null() { Datum::Absent } else { value })
    }),
    function("not_empty", &[Any], Any, text::not_empty),
    function("require", &[Any, Text], Any, text::require),
    function("string", &[Any], Text, text::string),
    function("lower", &[Text], Text, text::lower),
    function("upper", &[Text], Text, text::upper),
    function("trim", &[Text], Text, text::trim),
    function("snake_case", &[Text], Text, text::snake_case),
    function("contains", &[Text, Text], Bool, text::contains),
    function("startsWith", &[Text, Text], Bool, text::starts_with),
    function("endsWith", &[Text, Text], Bool, text::ends_with),
    function("remove_prefix", &[Text, Text], Text, text::remove_prefix),
    function("replace", &[Text, Text, Text], Text, text::replace),
    function("split", &[Text, Text], List, text::split),
    function("join", &[List, Text], Text, text::join),
    function("header", &[Any, Text], Any, list::header),
    function("url_encode", &[Text], Text, digest::url_encode),
    function("url_decode", &[Text], Text, digest::url_decode),
    function("json", &[Text], Any, text::json),
    function("to_json", &[Any], Text, text::to_json),
    function("number", &[Any], Number, number::number),
    function("int", &[Any], Number, number::int),
    function("bool", &[Any], Bool, number::truth),
    function("size", &[Any], Number, list::size),
    function("index", &[List, Number], Any, list::index),
    function("first", &[List], Any, list::first),
    function("last", &[List], Any, list::last),
    function("param", &[List, Text], Any, list::param),
    function("tally", &[List], List, list::tally),
    function("sum", &[List], Text, money::sum),
    function("decimal", &[Any], Text, money::decimal),
    function("minor_units", &[Any, Text], Text, money::minor_units),
    function("add", &[Any, Any], Text, money::add),
    function("subtract", &[Any, Any], Text, money::subtract),
    function("multiply", &[Any, Any], Text, money::multiply),
    function("negate", &[Any], Text, money::negate),
    function("abs", &[Any], Text, money::abs),
    function("rfc3339", &[Text], Text, time::rfc3339),
    function("epoch_seconds", &[Any], Text, time::epoch_seconds),
    function("epoch_millis", &[Any], Text, time::epoch_millis),
    function("epoch_micros", &[Any], Text, time::epoch_micros),
    function("unix_seconds", &[Text], Number, time::unix_seconds),
    function("unix_millis", &[Text], Number, time::unix_millis),
    function("hash", &[Any], Text, digest::hash).variadic(),
    function("ulid", &[Text], Text, digest::ulid),
    function("md5_hex", &[Text], Text, digest::md5_hex),
    function("sha256_hex", &[Text], Text, digest::sha256_hex),
    function("base64", &[Text], Text, digest::base64),
    function("base64_decode", &[Text], Text, digest::base64_decode),
    function("substring", &[Text, Number, Number], Text, text::substring).optional(1),
];

/// The names of all functions, for suggestions and documents.
pub const FUNCTION_NAMES: &[&str] = &[
    "abs",
    "add",
    "all",
    "attempt",
    "base64",
    "base64_decode",
    "bool",
    "coalesce",
    "contains",
    "decimal",
    "endsWith",
    "epoch_micros",
    "epoch_millis",
    "epoch_seconds",
    "exists",
    "filter",
    "first",
    "format_time",
    "has",
    "hash",
    "header",
    "index",
    "int",
    "join",
    "json",
    "last",
    "lower",
    "map",
    "md5_hex",
    "minor_units",
    "multiply",
    "negate",
    "not_empty",
    "number",
    "omit_null",
    "param",
    "pattern",
    "remove_prefix",
    "replace",
    "require",
    "rfc3339",
    "sha256_hex",
    "size",
    "snake_case",
    "split",
    "startsWith",
    "string",
    "substring",
    "subtract",
    "sum",
    "tally",
    "to_json",
    "trim",
    "ulid",
    "unix_millis",
    "unix_seconds",
    "upper",
    "url_decode",
    "url_encode",
];

/// Returns the function `name`.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// Takes the value of an argument.
fn take<'a>(values: &mut [Datum<'a>], at: usize) -> Datum<'a> {
    std::mem::replace(&mut values[at], Datum::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_names_is_complete_and_sorted() {
        let mut names: Vec<_> = FUNCTIONS.iter().map(|function| function.name).collect();
        names.extend(["attempt", "coalesce", "pattern", "format_time", "map", "filter", "exists", "all"]);
        names.sort_unstable();
        assert_eq!(names, FUNCTION_NAMES);
    }
}
