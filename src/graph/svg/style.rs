//! The style sheet of a diagram, for light and dark mode. Uses generic font families and loads no external resource.

/// Content of the `<style>` element. Uses plain classes, because not every SVG renderer supports CSS variables.
pub(super) const STYLE: &str = "
text { font-family: system-ui, -apple-system, sans-serif; font-size: 12.5px; fill: #59636e; }
.heading { font-size: 22px; font-weight: 650; fill: #1f2328; }
.title { font-size: 15px; font-weight: 600; fill: #1f2328; }
.name, .move { font-family: ui-monospace, Menlo, Consolas, monospace; }
.name { font-size: 11.5px; }
.move { font-size: 12.5px; fill: #1f2328; }
.time { fill: #7a3ec8; }
.number { font-size: 13px; font-weight: 600; fill: #ffffff; text-anchor: middle; }
.page { fill: #ffffff; stroke: #d1d9e0; }
.journey { fill: #f6f8fa; stroke: #e2e7ec; }
.stage { fill: #ffffff; stroke: #c8d1da; stroke-width: 1.2; }
.outside { fill: #ffffff; stroke: #8c959f; stroke-width: 1.2; stroke-dasharray: 5 4; }
.rule { stroke: #e2e7ec; }
.clock { fill: none; stroke: #7a3ec8; stroke-width: 1.3; stroke-linecap: round; }
.dot { fill: #59636e; }
.arrow { fill: none; stroke-width: 1.8; }
.forward { stroke: #2f6fd6; } .forward-fill { fill: #2f6fd6; }
.backward { stroke: #b07a10; } .backward-fill { fill: #b07a10; }
.exit { stroke: #cf3a40; } .exit-fill { fill: #cf3a40; }
.reentry { stroke: #23864a; } .reentry-fill { fill: #23864a; }
@media (prefers-color-scheme: dark) {
text { fill: #9aa4af; }
.heading, .title, .move { fill: #e9eef4; }
.time { fill: #c29bff; }
.number { fill: #0d1117; }
.page { fill: #0d1117; stroke: #30363d; }
.journey { fill: #12171e; stroke: #262c34; }
.stage { fill: #1a2028; stroke: #3a424c; }
.outside { fill: #12171e; stroke: #6e7681; }
.rule { stroke: #262c34; }
.clock { stroke: #c29bff; }
.dot { fill: #9aa4af; }
.forward { stroke: #6ba5ff; } .forward-fill { fill: #6ba5ff; }
.backward { stroke: #d9a43a; } .backward-fill { fill: #d9a43a; }
.exit { stroke: #f47067; } .exit-fill { fill: #f47067; }
.reentry { stroke: #4fc177; } .reentry-fill { fill: #4fc177; }
}
";
