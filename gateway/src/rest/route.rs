//! All routes, derived from the `google.api.http` options.

use std::{cmp::Reverse, sync::OnceLock};

use flymq_api::{OpMeta, Rpc};
use flymq_proto::{RpcInfo, rpcs};

use super::path::{Segment, Template};

/// One HTTP method and path that leads to an rpc.
#[derive(Debug)]
pub(crate) struct Route {
    pub method: String,
    /// As written in the proto file.
    pub path: String,
    pub template: Template,
    pub rpc: &'static RpcInfo,
    pub id: Rpc,
    /// The request message is in the body; else its fields are in the query.
    pub body: bool,
    /// The rpc's main route, as opposed to an additional binding.
    pub main: bool,
}

/// What a method and a path lead to.
pub(crate) enum Found<'p> {
    Route {
        route: &'static Route,
        variables: Vec<(&'static str, &'p str)>,
    },
    /// The path exists, with these methods.
    OtherMethods(Vec<&'static str>),
    Nothing,
}

/// Every route; the more literal ones first, so that the first match is the best.
pub(crate) fn routes() -> &'static [Route] {
    static ROUTES: OnceLock<Vec<Route>> = OnceLock::new();
    ROUTES.get_or_init(|| {
        let mut all: Vec<Route> = rpcs().iter().flat_map(of_rpc).collect();
        all.sort_by_key(|route| Reverse(literals(&route.template)));
        all
    })
}

fn of_rpc(rpc: &'static RpcInfo) -> Vec<Route> {
    let id = OpMeta::by_path(&rpc.path).expect("the op table comes from the same descriptors").id;
    let routes = rpc.routes.iter().enumerate().map(|(i, (method, path, body))| {
        assert!(body.is_empty() || body == "*", "{}: body must be `*`, not a field", rpc.name);
        Route {
            method: method.clone(),
            path: path.clone(),
            template: Template::parse(path),
            rpc,
            id,
            body: body == "*",
            main: i == 0,
        }
    });
    routes.collect()
}

fn literals(template: &Template) -> Vec<bool> {
    template.segments().iter().map(|s| matches!(s, Segment::Literal(_))).collect()
}

/// Looks up a path, still percent-encoded. HEAD finds what GET finds.
pub(crate) fn find<'p>(method: &str, path: &'p str) -> Found<'p> {
    let wanted = if method == "HEAD" { "GET" } else { method };
    let mut others = Vec::new();
    for route in routes() {
        let Some(variables) = route.template.matches(path) else { continue };
        if route.method == wanted {
            return Found::Route { route, variables };
        }
        others.push(route.method.as_str());
    }
    if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others) }
}

/// Routes that begin like `path`, the most alike first.
pub(crate) fn similar(path: &str, most: usize) -> Vec<String> {
    let mut all: Vec<&Route> = routes().iter().collect();
    all.sort_by_key(|route| (Reverse(route.template.shared(path)), route.template.segments().len()));
    all.iter().take(most).map(|route| format!("{} {}", route.method, route.path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_is_a_field_of_its_request() {
        for route in routes() {
            for variable in route.template.variables() {
                let field = route.rpc.method.input().get_field_by_name(variable);
                assert!(field.is_some(), "{} {}: no field {variable}", route.method, route.path);
            }
        }
    }

    #[test]
    fn every_route_is_found_by_its_own_path() {
        for route in routes() {
            let path: String = route
                .template
                .segments()
                .iter()
                .map(|s| match s {
                    Segment::Literal(text) => format!("/{text}"),
                    Segment::Variable(_) => "/7".to_owned(),
                })
                .collect();
            let Found::Route { route: found, .. } = find(&route.method, &path) else {
                panic!("{} {path} leads nowhere", route.method)
            };
            assert_eq!(found.rpc.name, route.rpc.name, "{} {path}", route.method);
        }
    }

    #[test]
    fn a_literal_wins_over_a_variable() {
        let Found::Route { route, .. } = find("GET", "/api/v1/topics/a/dead-letters/stats") else {
            panic!("no route")
        };
        assert!(route.path.ends_with("/dead-letters/stats"));
    }

    #[test]
    fn a_known_path_with_another_method_names_its_methods() {
        let Found::OtherMethods(methods) = find("PUT", "/api/v1/topics") else { panic!("found something") };
        assert!(methods.contains(&"GET") && methods.contains(&"POST"), "{methods:?}");
        assert!(matches!(find("GET", "/api/v1/topicz"), Found::Nothing));
        assert!(matches!(find("HEAD", "/api/v1/topics"), Found::Route { .. }));
    }

    #[test]
    fn similar_routes_share_the_beginning() {
        let list = similar("/api/v1/topics/orders/recordz", 5);
        assert!(list.iter().all(|r| r.contains("/api/v1/topics/")), "{list:?}");
    }
}
