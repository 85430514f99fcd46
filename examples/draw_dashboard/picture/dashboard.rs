//! A dashboard as its JSON (schema version 1 of Grafana) tells it: panels, queries, variables.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Frame;

/// A dashboard.
#[derive(Clone, Debug)]
pub(crate) struct Dashboard {
    pub(crate) title: String,
    /// Every panel, those within collapsed rows included.
    pub(crate) panels: Vec<Panel>,
    /// Name and label of each variable that a person chooses.
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) json: Value,
}

/// A panel.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    pub(crate) id: u64,
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) w: f64,
    pub(crate) h: f64,
    /// Whether it lies within a collapsed row.
    pub(crate) is_collapsed: bool,
    pub(crate) json: Value,
}

/// A query of a panel.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) expression: String,
    pub(crate) legend: String,
    pub(crate) is_instant: bool,
}

impl Dashboard {
    /// Reads a dashboard.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let json: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut panels = Vec::new();
        // A row that is collapsed takes one line, and those within it follow when all is drawn.
        for panel in json["panels"].as_array().into_iter().flatten() {
            panels.push(Panel::read(panel, false)?);
            for inner in panel["panels"].as_array().into_iter().flatten() {
                panels.push(Panel::read(inner, true)?);
            }
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let variables = json["templating"]["list"].as_array().into_iter().flatten();
        let variables = variables.filter(|variable| variable["type"] != "datasource");
        let variables = variables.map(|variable| (text(&variable["name"]), text(&variable["label"]))).collect();
        Ok(Self { title: text(&json["title"]), panels, variables, json })
    }
}

impl Panel {
    fn read(json: &Value, is_collapsed: bool) -> Result<Self, String> {
        let place = |name: &str| {
            json["gridPos"][name].as_f64().ok_or_else(|| format!("a panel lacks gridPos.{name}: {}", json["title"]))
        };
        Ok(Self {
            id: json["id"].as_u64().ok_or_else(|| format!("a panel lacks its id: {}", json["title"]))?,
            kind: json["type"].as_str().unwrap_or_default().to_owned(),
            title: json["title"].as_str().unwrap_or_default().to_owned(),
            x: place("x")?,
            y: place("y")?,
            w: place("w")?,
            h: place("h")?,
            is_collapsed,
            json: json.clone(),
        })
    }

    /// Whether a row shows its panels: it is not collapsed, or they are asked for all the same.
    pub(crate) fn is_open<T>(&self, answers: &BTreeMap<u64, T>) -> bool {
        let mut inner = self.json["panels"].as_array().into_iter().flatten().filter_map(|panel| panel["id"].as_u64());
        self.json["collapsed"] != true || inner.any(|id| answers.contains_key(&id))
    }

    /// Its queries.
    pub(crate) fn targets(&self) -> Vec<Target> {
        let targets = self.json["targets"].as_array().into_iter().flatten();
        targets
            .map(|target| Target {
                expression: target["expr"].as_str().unwrap_or_default().to_owned(),
                legend: target["legendFormat"].as_str().unwrap_or_default().to_owned(),
                is_instant: target["instant"] == true,
            })
            .collect()
    }

    /// The unit of its values.
    pub(crate) fn unit(&self) -> &str {
        self.default_text("unit").unwrap_or("none")
    }

    /// How many decimals are shown.
    pub(crate) fn decimals(&self) -> Option<usize> {
        usize::try_from(self.default("decimals").as_u64()?).ok()
    }

    /// A default of its fields.
    pub(crate) fn default(&self, name: &str) -> &Value {
        &self.json["fieldConfig"]["defaults"][name]
    }

    /// A default of its fields that is a text.
    pub(crate) fn default_text(&self, name: &str) -> Option<&str> {
        self.default(name).as_str()
    }

    /// What an override says of the series or field of this name.
    pub(crate) fn overridden(&self, name: &str, property: &str) -> Option<&Value> {
        let overrides = self.json["fieldConfig"]["overrides"].as_array()?;
        let of_name = overrides
            .iter()
            .filter(|it| it["matcher"]["id"] == "byName" && it["matcher"]["options"].as_str() == Some(name));
        of_name
            .flat_map(|it| it["properties"].as_array().into_iter().flatten())
            .find(|it| it["id"].as_str() == Some(property))
            .map(|it| &it["value"])
    }

    /// The colour that is fixed for a series.
    pub(crate) fn color_of(&self, name: &str) -> Option<&str> {
        self.overridden(name, "color").or(Some(self.default("color")))?["fixedColor"].as_str()
    }

    /// The colour that the thresholds give to a value.
    pub(crate) fn threshold_color(&self, value: f64) -> Option<&str> {
        let steps = self.default("thresholds")["steps"].as_array()?;
        let reached = steps.iter().rfind(|step| step["value"].as_f64().is_none_or(|least| value >= least))?;
        reached["color"].as_str()
    }

    /// The text and the colour that a mapping gives to a value.
    pub(crate) fn mapped(&self, value: f64) -> Option<(&str, &str)> {
        let mappings = self.default("mappings").as_array()?;
        let found = mappings.iter().find_map(|mapping| mapping["options"].get(value.to_string()))?;
        Some((found["text"].as_str()?, found["color"].as_str()?))
    }
}

impl Target {
    /// The name of a series: the legend with the labels put in.
    pub(crate) fn legend_of(&self, labels: &BTreeMap<String, String>) -> String {
        if self.legend.is_empty() || self.legend == "__auto" {
            let values: Vec<&str> = labels.values().map(String::as_str).collect();
            return values.join(" ");
        }
        let mut name = self.legend.clone();
        for (label, value) in labels {
            name = name.replace(&format!("{{{{{label}}}}}"), value);
        }
        name
    }
}

/// What variables stand for.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    values: BTreeMap<String, String>,
}

impl Setting {
    /// Everything for variables that take several values, else what the dashboard begins with.
    pub(crate) fn of(dashboard: &Dashboard, frame: &Frame) -> Self {
        let length = |seconds: f64| format!("{}s", seconds.ceil());
        let mut values = BTreeMap::from([
            ("__rate_interval".to_owned(), length(frame.rate_interval())),
            ("__range".to_owned(), length(frame.end - frame.start)),
            ("__interval".to_owned(), length(frame.step)),
        ]);
        for variable in dashboard.json["templating"]["list"].as_array().into_iter().flatten() {
            let value = variable["allValue"].as_str().or(variable["current"]["value"].as_str());
            values
                .insert(variable["name"].as_str().unwrap_or_default().to_owned(), value.unwrap_or_default().to_owned());
        }
        Self { values }
    }

    /// Chooses a value.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_owned(), value.to_owned());
    }

    /// The expression with its variables put in.
    pub(crate) fn fill(&self, expression: &str) -> String {
        // Longer names first: $model must not be put into $model_version.
        let mut names: Vec<_> = self.values.iter().collect();
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        names.into_iter().fold(expression.to_owned(), |text, (name, value)| {
            text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value)
        })
    }

    /// The value as a person reads it.
    pub(crate) fn shown(&self, name: &str) -> Option<&str> {
        let value = self.values.get(name)?;
        Some(if value == ".+" { "All" } else { value })
    }
}
