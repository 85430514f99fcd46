//! Renders problems as text for terminals: file, line and column, an excerpt in which the text is underlined, and what
//! to write instead.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::ModelSource;
use crate::lifecycle::problem::{Problem, Severity};

/// Renders `problems` as a report, ordered by file and position.
///
/// `sources` are the files that were checked, the catalogue last. A problem outside any file (an override) has no
/// excerpt.
#[must_use]
pub fn render(problems: &[Problem], sources: &[ModelSource], color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
    let mut sorted: Vec<&Problem> = problems.iter().collect();
    sorted.sort_by_key(|problem| (problem.file, problem.span.start, problem.span.end));
    let mut report = String::new();
    for problem in sorted {
        report.push_str(&renderer.render(&[group(problem, sources.get(problem.file))]));
        report.push_str("\n\n");
    }
    report
}

fn group<'a>(problem: &'a Problem, source: Option<&'a ModelSource>) -> Group<'a> {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(problem.message.as_str()).id(problem.code);
    let mut group = match source {
        Some(source) => {
            let mut underline = AnnotationKind::Primary.span(clamped_span(problem, &source.text));
            if !problem.label.is_empty() {
                underline = underline.label(problem.label.as_str());
            }
            title.element(Snippet::source(source.text.as_str()).path(source.name.as_str()).annotation(underline))
        }
        None => Group::with_title(title),
    };
    if let Some(help) = &problem.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    group
}

/// Returns the problem's span, clamped to character boundaries of `text` so that a wrong span cannot panic.
fn clamped_span(problem: &Problem, text: &str) -> std::ops::Range<usize> {
    let boundary = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = boundary(problem.span.start);
    start..boundary(problem.span.end).max(start)
}

/// Returns the line and the column of byte `at`, both starting at 1. Columns count characters.
#[must_use]
pub fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
