use dfbuild::{LayerChange, LayerReport};

use super::{most_wasted, summary, totals, word};
use crate::units::human_size;

/// More files of one layer make a page that no browser likes.
const MOST_FILES: usize = 2000;

const STYLE: &str = ":root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;\
color:#222;background:#fff}code,td{font-family:ui-monospace,monospace;font-size:13px}\
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}details{border:1px solid #ccc;border-radius:6px;margin:.5rem 0}\
summary{padding:.6rem .8rem;cursor:pointer}summary code{overflow-wrap:anywhere}\
.bar{display:flex;height:.7rem;margin-top:.4rem;background:#eee;border-radius:3px;overflow:hidden}\
.seen{background:#3a7d44}.hidden{background:#c2452d}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.15rem .8rem;vertical-align:top}\
td:last-child{overflow-wrap:anywhere;width:100%}td.size{text-align:right;white-space:nowrap}\
.removed{color:#777;text-decoration:line-through}.wasted{color:#c2452d}small{color:#666}\
.key i{display:inline-block;width:1em;height:.7em;border-radius:2px;margin:0 .4em 0 0}.key span{margin-right:1.2em}\
input{font:inherit;padding:.3rem .5rem;width:20rem;max-width:100%}\
@media(prefers-color-scheme:dark){body{background:#16181c;color:#ddd}.bar{background:#333}details{border-color:#444}small{color:#999}\
.removed{color:#999}.wasted{color:#ef7b62}.seen{background:#4f9d5b}.hidden{background:#d6563d}}";

/// Shows the files whose paths have what was typed.
const SCRIPT: &str = "document.querySelector('input').addEventListener('input',e=>{\
const t=e.target.value.toLowerCase();\
for(const d of document.querySelectorAll('details')){let n=0;\
for(const r of d.querySelectorAll('tr[data-path]')){const s=r.dataset.path.toLowerCase().includes(t);\
r.hidden=!s;n+=s}d.open=t!==''&&n>0}})";

/// A page without anything from elsewhere.
pub(super) fn page(image: &str, layers: &[LayerReport]) -> String {
    let name = escape(image);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Layers of {name}</title>\
         <style>{STYLE}</style></head><body>\n<h1>Layers of {name}</h1>\n<p>{}</p>\n\
         <p class=\"key\"><span><i class=\"seen\"></i>seen in the image</span>\
         <span><i class=\"hidden\"></i>hidden by a later layer</span></p>\n\
         <p><input type=\"search\" placeholder=\"Find a path\" aria-label=\"Find a path\"></p>\n",
        escape(&summary(layers))
    );
    let (all, _) = totals(layers);
    for (number, layer) in layers.iter().enumerate() {
        section(&mut page, number, layer, all);
    }
    let wasted = most_wasted(layers);
    if !wasted.is_empty() {
        page.push_str("<h2>What is hidden by other layers</h2>\n<table>\n");
        for (path, bytes, count) in wasted.iter().take(MOST_FILES) {
            page.push_str(&format!(
                "<tr><td class=\"size wasted\">{}</td><td>{count}×</td><td>{}</td></tr>\n",
                human_size(*bytes),
                escape(path)
            ));
        }
        page.push_str("</table>\n");
    }
    page.push_str(&format!("<script>{SCRIPT}</script>\n</body></html>\n"));
    page
}

fn section(page: &mut String, number: usize, layer: &LayerReport, all: u64) {
    let wasted = layer.wasted();
    let written: u64 = super::totals(std::slice::from_ref(layer)).0;
    let width = |bytes: u64| 100.0 * ratio(bytes, all);
    page.push_str(&format!(
        "<details><summary>{number} · <b>{}</b> · <code>{}</code> <small>{}</small>\
         <div class=\"bar\"><div class=\"seen\" style=\"width:{:.2}%\"></div>\
         <div class=\"hidden\" style=\"width:{:.2}%\"></div></div></summary>\n<table>\n",
        human_size(layer.size),
        escape(layer.created_by.trim_end_matches(" # buildkit")),
        if wasted == 0 { String::new() } else { format!("{} wasted", human_size(wasted)) },
        width(written.saturating_sub(wasted)),
        width(wasted),
    ));
    let mut changes: Vec<&LayerChange> = layer.changes.iter().collect();
    changes.sort_by_key(|change| std::cmp::Reverse(change.size));
    for change in changes.iter().take(MOST_FILES) {
        let class = match (word(change.kind), change.hidden_by) {
            ("removed", _) => "removed",
            (_, Some(_)) => "wasted",
            _ => "",
        };
        let hidden = match change.hidden_by {
            Some(by) => format!(" <small>hidden by {by}</small>"),
            None => String::new(),
        };
        let path = escape(&change.path);
        page.push_str(&format!(
            "<tr data-path=\"{path}\" class=\"{class}\"><td class=\"size\">{}</td><td>{}</td>\
             <td>{path}{hidden}</td></tr>\n",
            human_size(change.size),
            word(change.kind),
        ));
    }
    if changes.len() > MOST_FILES {
        let more = changes.len() - MOST_FILES;
        page.push_str(&format!("<tr><td></td><td></td><td>and {more} smaller ones</td></tr>\n"));
    }
    page.push_str("</table></details>\n");
}

#[expect(clippy::cast_precision_loss, reason = "it is the width of a bar")]
fn ratio(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

/// Text as HTML, also within quotes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_text() {
        assert_eq!(escape("<script>'\"&"), "&lt;script&gt;&#39;&quot;&amp;");
        let page = page("a<b", &[]);
        assert!(page.contains("<title>Layers of a&lt;b</title>") && !page.contains("a<b"));
    }
}
