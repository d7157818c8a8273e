//! Builds the folder given as first argument into the store given as second, and tells each step.
//!
//! `cargo run --example embed -- CONTEXT STORE [NAME=CONTEXT]`
#![expect(clippy::print_stdout, reason = "an example for people to run")]

use dfbuild::{Build, BuildContext, Cancel, Engine, Event};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    dfbuild::rootless::enter()?; // Does nothing for root; has to come before any thread.
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [context, store, contexts @ ..] = args.as_slice() else { return Err("usage".into()) };
    let mut build = Build::new(context).tag("embedded");
    for (name, value) in contexts.iter().filter_map(|context| context.split_once('=')) {
        build = build.build_context(name, BuildContext::parse(value));
    }
    let tell = |event: &Event| {
        if let Event::Output { bytes, .. } = event {
            print!("{}", String::from_utf8_lossy(bytes));
        }
    };
    let image = build.run(&Engine::open(store)?, &tell, &Cancel::new())?;
    println!("{} ({} cached, {} ran)", image.image_id, image.cached, image.ran);
    Ok(())
}
