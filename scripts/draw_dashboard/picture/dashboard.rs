//! Reads the JSON of a Grafana dashboard (schema version 1): panels, queries and variables.

use std::collections::BTreeMap;

use serde_json::Value;

use super::TimeRange;

/// A dashboard.
#[derive(Clone, Debug)]
pub(crate) struct Dashboard {
    pub(crate) title: String,
    /// Every panel, including those in collapsed rows.
    pub(crate) panels: Vec<Panel>,
    /// Name and label of each variable that the user can choose.
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
    /// Whether the panel is in a collapsed row.
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
    /// Parses the JSON of a dashboard.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let json: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut panels = Vec::new();
        // A collapsed row contains its panels; otherwise they follow the row in the list.
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
        let coordinate = |name: &str| {
            json["gridPos"][name].as_f64().ok_or_else(|| format!("panel without gridPos.{name}: {}", json["title"]))
        };
        Ok(Self {
            id: json["id"].as_u64().ok_or_else(|| format!("panel without id: {}", json["title"]))?,
            kind: json["type"].as_str().unwrap_or_default().to_owned(),
            title: json["title"].as_str().unwrap_or_default().to_owned(),
            x: coordinate("x")?,
            y: coordinate("y")?,
            w: coordinate("w")?,
            h: coordinate("h")?,
            is_collapsed,
            json: json.clone(),
        })
    }

    /// Returns whether a row is shown expanded: it is not collapsed, or data of its panels was requested.
    pub(crate) fn is_open<T>(&self, data: &BTreeMap<u64, T>) -> bool {
        let mut inner = self.json["panels"].as_array().into_iter().flatten().filter_map(|panel| panel["id"].as_u64());
        self.json["collapsed"] != true || inner.any(|id| data.contains_key(&id))
    }

    /// Returns the queries of the panel.
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

    /// Returns the unit of the values; `none` if not configured.
    pub(crate) fn unit(&self) -> &str {
        self.default_text("unit").unwrap_or("none")
    }

    /// Returns the configured number of decimals.
    pub(crate) fn decimals(&self) -> Option<usize> {
        usize::try_from(self.default("decimals").as_u64()?).ok()
    }

    /// Returns a field default.
    pub(crate) fn default(&self, name: &str) -> &Value {
        &self.json["fieldConfig"]["defaults"][name]
    }

    /// Returns a field default that is a string.
    pub(crate) fn default_text(&self, name: &str) -> Option<&str> {
        self.default(name).as_str()
    }

    /// Returns an overridden property of the series or field with this name.
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

    /// Returns the fixed color of a series.
    pub(crate) fn color_of(&self, name: &str) -> Option<&str> {
        self.overridden(name, "color").or(Some(self.default("color")))?["fixedColor"].as_str()
    }

    /// Returns the color of a value according to the thresholds.
    pub(crate) fn threshold_color(&self, value: f64) -> Option<&str> {
        let steps = self.default("thresholds")["steps"].as_array()?;
        let reached = steps.iter().rfind(|step| step["value"].as_f64().is_none_or(|least| value >= least))?;
        reached["color"].as_str()
    }

    /// Returns the text and color of a value according to the value mappings.
    pub(crate) fn mapped(&self, value: f64) -> Option<(&str, &str)> {
        let mappings = self.default("mappings").as_array()?;
        let found = mappings.iter().find_map(|mapping| mapping["options"].get(value.to_string()))?;
        Some((found["text"].as_str()?, found["color"].as_str()?))
    }
}

impl Target {
    /// Returns the legend of a series, with its labels substituted.
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

/// Values of the dashboard variables and of Grafana's built-in variables.
#[derive(Clone, Debug)]
pub(crate) struct VariableValues {
    values: BTreeMap<String, String>,
}

impl VariableValues {
    /// Returns the defaults: all values for a multi-value variable, else the current value saved in the dashboard.
    pub(crate) fn defaults(dashboard: &Dashboard, time_range: &TimeRange) -> Self {
        let length = |seconds: f64| format!("{}s", seconds.ceil());
        let mut values = BTreeMap::from([
            ("__rate_interval".to_owned(), length(time_range.rate_interval())),
            ("__range".to_owned(), length(time_range.end - time_range.start)),
            ("__interval".to_owned(), length(time_range.step)),
        ]);
        for variable in dashboard.json["templating"]["list"].as_array().into_iter().flatten() {
            let value = variable["allValue"].as_str().or(variable["current"]["value"].as_str());
            values
                .insert(variable["name"].as_str().unwrap_or_default().to_owned(), value.unwrap_or_default().to_owned());
        }
        Self { values }
    }

    /// Sets the value of a variable.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_owned(), value.to_owned());
    }

    /// Substitutes the variables of an expression.
    pub(crate) fn substitute(&self, expression: &str) -> String {
        // Longer names first: `$model` must not match the start of `$model_version`.
        let mut names: Vec<_> = self.values.iter().collect();
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        names.into_iter().fold(expression.to_owned(), |text, (name, value)| {
            text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value)
        })
    }

    /// Returns the value for display; `All` for a pattern that matches everything.
    pub(crate) fn shown(&self, name: &str) -> Option<&str> {
        let value = self.values.get(name)?;
        Some(if value == ".+" { "All" } else { value })
    }
}
