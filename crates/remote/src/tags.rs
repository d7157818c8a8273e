use dfbuild_image::Reference;
use serde::Deserialize;
use ureq::http::header::LINK;
use ureq::http::{HeaderMap, Method};

use crate::client::{Access, Call};
use crate::http::{Body, header, read_limited};
use crate::scope::Scope;
use crate::{Client, Error};

const LONGEST_PAGE: u64 = 32 * 1024 * 1024;
/// More pages than any repository has: a link that leads in a circle has to end.
const MOST_PAGES: usize = 10_000;

#[derive(Deserialize)]
struct Page {
    /// `null` in a repository without tags.
    tags: Option<Vec<String>>,
}

impl Client {
    /// The tags in the repository of `reference`, in the registry's order.
    pub fn tags(&self, reference: &Reference) -> Result<Vec<String>, Error> {
        let name = format!("{}/{}", reference.registry, reference.repository);
        let action = format!("list tags of {name}");
        let mut tags = Vec::new();
        let mut next = None;
        for _ in 0..MOST_PAGES {
            let (page, link) = self.at_registry(&action, reference, |endpoint, _| {
                let url = match &next {
                    Some(next) => Clone::clone(next),
                    None => endpoint.url(&reference.repository, "tags/list")?,
                };
                let (mut response, url) = self.perform(&Call {
                    action: &action,
                    method: &Method::GET,
                    url: &url,
                    headers: &HeaderMap::new(),
                    body: Body::None,
                    access: Access::Registry(endpoint, &[Scope::pull(&reference.repository)]),
                    expected: &[],
                })?;
                let link = header(&response, LINK.as_str()).and_then(next_page);
                let link = link.and_then(|link| url.join(link));
                let bytes = read_limited(&action, &url, &mut response, LONGEST_PAGE)?;
                let page: Page = serde_json::from_slice(&bytes).map_err(|error| {
                    Error::Malformed { action: action.clone(), reason: error.to_string() }
                })?;
                Ok((page, link))
            })?;
            tags.extend(page.tags.unwrap_or_default());
            next = link;
            if next.is_none() {
                break;
            }
        }
        Ok(tags)
    }
}

/// The address in `<…>; rel="next"`.
fn next_page(link: &str) -> Option<&str> {
    let (address, parameters) = link.strip_prefix('<')?.split_once('>')?;
    let next = parameters.replace(['"', ' '], "").contains("rel=next");
    next.then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        assert_eq!(
            next_page(r#"</v2/a/tags/list?n=1&last=b>; rel="next""#),
            Some("/v2/a/tags/list?n=1&last=b")
        );
        assert_eq!(next_page("<x>; rel=prev"), None);
        assert_eq!(next_page("x"), None);
    }
}
