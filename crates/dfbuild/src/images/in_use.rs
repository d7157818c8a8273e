use crate::engine::Engine;

/// As long as one of these lives, what was looked at of layers stays in memory, and nothing that was seen
/// in the store is collected. With the last one both end: a server that builds for months must not
/// remember every layer of them, nor what others have collected since. What was unpacked until then is
/// promised to the next one.
#[must_use = "what was seen may be collected and is forgotten once it is dropped"]
pub(crate) struct InUse<'a> {
    engine: &'a Engine,
    _store: dfbuild_store::InUse<'a>,
}

impl Engine {
    /// Begins to keep what will be seen of layers.
    pub(crate) fn in_use(&self) -> InUse<'_> {
        self.layers().begin();
        InUse { engine: self, _store: self.store().in_use() }
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.engine.layers().end();
        // Without the promise it would be garbage; that fails where nothing more can be written, and
        // only work is lost then.
        let _ = self.engine.store().commit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Build, BuildContext, Cancel, Event};

    #[test]
    fn an_engine_at_rest_remembers_no_layer() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open(folder.path()).unwrap();
        let build = Build::new(BuildContext::Empty)
            .dockerfile_text("FROM scratch\nCOPY <<EOF /a\na\nEOF\nWORKDIR /w\n");
        let another = engine.in_use();
        build.run(&engine, &|_: &Event| {}, &Cancel::new()).unwrap();
        assert!(!engine.layers().is_empty());
        drop(another);
        assert!(engine.layers().is_empty());
        let again = build.run(&engine, &|_: &Event| {}, &Cancel::new()).unwrap();
        assert_eq!((again.cached, again.ran), (2, 0));
        assert!(engine.layers().is_empty());
    }
}
