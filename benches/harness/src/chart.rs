//! The table as a picture for the README.

use std::fmt::Write as _;

use crate::report::{PeerRuns, Report};

const WIDTH: f64 = 860.0;
const LABELS: f64 = 330.0;
const BAR: f64 = 13.0;
const GAP: f64 = 12.0;
/// Of dfbuild, then of the others in their order.
const COLOURS: [&str; 6] = ["#d9480f", "#4c6ef5", "#12b886", "#868e96", "#ae3ec9", "#fab005"];

/// Bars for each scenario, on a logarithmic scale: the differences are a matter of factors.
pub(crate) fn svg(report: &Report) -> String {
    let rows: Vec<_> = report.rows.iter().filter(|row| !row.peers.is_empty()).collect();
    let all = || rows.iter().flat_map(|row| &row.peers).map(PeerRuns::wall);
    let least = all().fold(f64::INFINITY, f64::min).max(0.001) / 2.0;
    let most = all().fold(0.0, f64::max).max(least * 10.0);
    let scale = |value: f64| (value.max(least) / least).ln() / (most / least).ln();
    let mut bars = String::new();
    let mut y = 34.0;
    for row in &rows {
        let title = format!("{}. {}", row.id, row.title);
        let middle = y + BAR;
        let _ = writeln!(bars, r#"<text x="8" y="{middle}">{}</text>"#, escape(&title));
        for (number, peer) in row.peers.iter().enumerate() {
            let width = scale(peer.wall()) * (WIDTH - LABELS - 150.0);
            let (colour, bottom) = (COLOURS[number % COLOURS.len()], y + BAR - 3.0);
            let end = LABELS + width + 6.0;
            let _ = writeln!(
                bars,
                r#"<rect x="{LABELS}" y="{y}" width="{width:.1}" height="{:.0}" fill="{colour}"/><text x="{end:.1}" y="{bottom}" class="v">{:.3} s {}</text>"#,
                BAR - 2.0,
                peer.wall(),
                escape(&peer.name)
            );
            y += BAR;
        }
        y += GAP;
    }
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" font-family="sans-serif" font-size="12">
<style>text{{fill:#343a40}}.v{{font-size:10px;fill:#868e96}}@media(prefers-color-scheme:dark){{text{{fill:#dee2e6}}}}</style>
<text x="8" y="18" font-weight="bold">Seconds, logarithmic: shorter is better ({})</text>
{bars}</svg>
"#,
        escape(&report.machine.date)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
