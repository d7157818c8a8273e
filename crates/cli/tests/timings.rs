//! `--timings`: where the time of a build went.

mod common;

use std::fs;
use std::process::Command;

use common::{dfbuild, folder};
use dfbuild_testkit::{program, run_or_skip};
use serde_json::Value;

const DOCKERFILE: &str =
    "FROM scratch AS first\nCOPY file /\nFROM scratch\nCOPY --from=first /file /a<b\n";

#[test]
fn data_for_tools() {
    let folder = folder(&[("Dockerfile", DOCKERFILE), ("file", "content\n")]);
    let (code, stdout, stderr) = dfbuild(folder.path(), &["build", "--timings=json", "."]);
    assert_eq!(code, 0, "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["version"], 1);
    let bars = report["bars"].as_array().unwrap();
    let kinds = |kind: &str| bars.iter().filter(|bar| bar["kind"] == kind).count();
    assert_eq!((kinds("step"), kinds("cached")), (2, 0), "{stdout}");
    assert!(kinds("work") > 0 && kinds("task") > 0, "{stdout}");
    let total = report["total"].as_f64().unwrap();
    for bar in bars {
        let (begin, end) = (bar["begin"].as_f64().unwrap(), bar["end"].as_f64().unwrap());
        assert!(0.0 <= begin && begin <= end && end <= total, "{bar}");
    }
    let step = bars.iter().find(|bar| bar["kind"] == "step").unwrap();
    assert!(step["name"].as_str().unwrap().contains("COPY file /"), "{step}");
    assert!(step["note"].as_str().unwrap().contains("no earlier run"), "{step}");
    assert_eq!(step["usage"]["copied"], 8, "{step}");
    assert!(step["usage"]["own"].is_f64() && step["usage"]["user"].is_null(), "{step}");
    assert_eq!(step["bytes"], step["usage"]["layer"], "{step}");
    // The layer of the last step goes into the image.
    let packed = bars.iter().find(|bar| bar["kind"] == "packing").unwrap();
    assert!(packed["name"].as_str().unwrap().contains("/a<b"), "{packed}");
    assert!(packed["cpu"].is_f64() && packed["packed"].as_u64() > Some(0), "{packed}");
    let last = bars.iter().rfind(|bar| bar["kind"] == "step").unwrap();
    assert_eq!(last["packed"], packed["packed"], "{stdout}");

    let (_, stdout, _) = dfbuild(folder.path(), &["build", "--timings=json", "."]);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let bars = report["bars"].as_array().unwrap();
    // A stage is not even asked for if what is copied from it is cached.
    assert_eq!(bars.iter().filter(|bar| bar["kind"] == "cached").count(), 1, "{stdout}");
}

/// A page that nobody named a place for does not keep the next build from being cached.
#[test]
fn a_page_is_not_left_in_the_context() {
    let folder = folder(&[("Dockerfile", "FROM scratch\nCOPY . /\n"), (".dockerignore", "store")]);
    for expect in ["0 steps cached, 1 ran", "1 step cached, 0 ran"] {
        let (code, _, stderr) = dfbuild(folder.path(), &["build", "--timings", "."]);
        assert!(code == 0 && stderr.contains(expect), "{stderr}");
        assert!(!stderr.contains("not ignored"), "{stderr}");
        let page =
            stderr.lines().find_map(|line| line.strip_prefix("notice: where the time went: "));
        let page = page.unwrap_or_else(|| panic!("{stderr}"));
        assert!(fs::read_to_string(page).unwrap().contains("COPY . /"), "{page}");
        fs::remove_file(page).unwrap();
    }
}

#[test]
fn a_page_for_people() {
    let folder = folder(&[("Dockerfile", DOCKERFILE), ("file", "content\n")]);
    let page = folder.path().join("times.html");
    let flag = format!("--timings={}", page.display());
    let (code, stdout, stderr) = dfbuild(folder.path(), &["build", &flag, "."]);
    assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
    let warning = format!("notice: {} is in the context and not ignored: ", page.display());
    assert!(stderr.contains(&warning), "{stderr}");
    let text = fs::read_to_string(&page).unwrap();
    assert!(text.contains("COPY file /") && !text.contains("a<b"), "{text}");
    run_or_skip("a_page_for_people", || {
        let chromium = program("chromium")?;
        let profile = folder.path().join("profile");
        let output = Command::new(chromium)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--dump-dom"])
            // It would ask for updates and experiments.
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(format!("file://{}", page.display()))
            .output()
            .unwrap();
        let dom = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(dom.contains("2 ran"), "{dom}\n{errors}");
        assert_eq!(dom.matches("<div class=\"bar step\"").count(), 2, "{dom}");
        assert!(dom.contains("<span style=\"left: 0%;\">0 "), "{dom}");
        assert!(dom.contains("/a&lt;b"), "{dom}");
        assert_eq!(dom.matches("<div class=\"bar packing\"").count(), 1, "{dom}");
        // Processor time, what was copied, the layer, its blob.
        let row =
            dom.split("<tr>").find(|row| row.contains("[first 1/1] COPY file /</td>")).unwrap();
        let cells: Vec<&str> = row.split("<td class=\"number\">").skip(1).collect();
        let cells: Vec<&str> = cells.iter().filter_map(|cell| cell.split('<').next()).collect();
        let [_, _, "", own, "8 B", layer, ""] = cells[..] else { panic!("{cells:?}") };
        assert!(own.ends_with(" ms") && layer.ends_with(" kB"), "{cells:?}");
        Ok(())
    });
}
