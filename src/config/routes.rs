//! Reads `publish.routes`: a list of mappings. Whether the models have what the routes name is checked once the models
//! are loaded.

use crate::lifecycle::suggest::suggestion;
use crate::runtime::RouteDraft;

use super::key::Key;
use super::node::{Content, Node};
use super::settings::Settings;
use super::values::topic_name;

/// Maximum number of routes. Each is compared with every live transition.
const ROUTES_MAX: usize = 100;
/// The keys of a route.
const ROUTE_KEYS: [&str; 6] = ["topic", "model", "kind", "name", "direction", "stage"];
/// The topics whose records are not live transitions.
const OTHER_TOPICS: [&str; 6] = [
    "topics.touchpoints",
    "topics.replay",
    "topics.changelog",
    "topics.hand_overs",
    "topics.dead_letters",
    "topics.current_stages",
];

impl Settings {
    /// Returns the routes of live transitions. In the environment, the list of the file is written on one line.
    pub(super) fn routes(&mut self, key: &'static Key) -> Option<Vec<RouteDraft>> {
        let items = self.list(key, "a list of routes, such as [{topic: churn-risk, name: at_risk_of_churn}]")?;
        if let Some(item) = items.get(ROUTES_MAX) {
            self.problem_at(item, key.path, &format!("write at most {ROUTES_MAX} routes"));
        }
        let mut routes = Vec::new();
        for item in &items {
            match self.route(item) {
                Ok(route) => routes.push(route),
                Err(problem) => self.problem_at(item, key.path, &problem),
            }
        }
        (routes.len() == items.len()).then_some(routes)
    }

    fn route(&self, item: &Node) -> Result<RouteDraft, String> {
        let Content::Map(entries) = &item.content else {
            return Err("write a mapping, such as {topic: churn-risk, name: at_risk_of_churn}".to_owned());
        };
        let mut route = RouteDraft::default();
        for (name, value) in entries {
            let name = name.text().unwrap_or_default();
            let values = texts(value).ok_or_else(|| format!("{name}: write a name or a list of names"))?;
            match name {
                "topic" => route.topic = values.into_iter().next().unwrap_or_default(),
                "model" => route.models = values,
                "kind" => route.kinds = values,
                "name" => route.names = values,
                "direction" => route.directions = values,
                "stage" => route.stages = values,
                _ => {
                    let hint = suggestion(name, ROUTE_KEYS);
                    return Err(format!("unknown key `{name}`{hint}"));
                }
            }
        }
        if route == (RouteDraft { topic: route.topic.clone(), ..RouteDraft::default() }) {
            return Err(
                "write at least one of model, kind, name, direction and stage; topics.transitions is the topic of \
                        transitions without a route"
                    .to_owned(),
            );
        }
        route.topic = topic_name(&route.topic).map_err(|problem| format!("topic: {problem}"))?;
        if let Some(other) = OTHER_TOPICS.iter().find(|path| self.text(path) == Some(&route.topic)) {
            return Err(format!("`{}` is already used by {other}: choose another topic", route.topic));
        }
        Ok(route)
    }
}

/// Returns a text or a list of texts as a list; `None` for anything else.
fn texts(node: &Node) -> Option<Vec<String>> {
    let one = |node: &Node| node.text().map(str::to_owned).filter(|text| !text.is_empty());
    match &node.content {
        Content::List(items) if !items.is_empty() => items.iter().map(one).collect(),
        _ => Some(vec![one(node)?]),
    }
}
