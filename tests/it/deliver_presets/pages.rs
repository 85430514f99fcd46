//! The pages of docs/campaigns: each configuration is valid and delivers what the page says, each filter names
//! transitions that a shipped model publishes.

use std::path::Path;
use std::process::Command;

use lifecycle_processor::config::ModelChoice;
use lifecycle_processor::deliver::destination::FILTER_ROOTS;
use lifecycle_processor::mapping::Expression;

use super::vendors::VENDORS;

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/campaigns").join(name).with_extension("md");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the blocks of a language.
fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    let begin = format!("```{language}\n");
    page.split(begin.as_str()).skip(1).map(|rest| rest.split("```").next().expect("a block")).collect()
}

#[test]
fn each_page_has_a_valid_configuration_and_its_commands_work() {
    for vendor in VENDORS {
        let text = page(vendor.preset);
        let configurations = blocks(&text, "yaml");
        assert!(!configurations.is_empty(), "{} has no configuration", vendor.preset);
        let folder = tempfile::tempdir().expect("a folder");
        for configuration in &configurations {
            // The secrets of the page are files in this folder.
            for path in configuration.split("/run/secrets/").skip(1) {
                let name = path.split_whitespace().next().expect("a name");
                let secret = if name.starts_with("slack") {
                    "https://hooks.slack.com/services/very-secret"
                } else {
                    "very-secret"
                };
                std::fs::write(folder.path().join(name), secret).expect("a file");
            }
            std::fs::write(folder.path().join("deliver.yaml"), configuration.replace("/run/secrets/", ""))
                .expect("a file");
            let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/transition.json");
            let arguments = ["deliver", "test", vendor.preset, "--config", "deliver.yaml", "--transition", example];
            let output = Command::new(env!("CARGO_BIN_EXE_lifecycle"))
                .args(arguments)
                .current_dir(folder.path())
                .output()
                .expect("the binary runs");
            let shown = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(output.status.success(), "{}: {shown}", vendor.preset);
            // The example is the transition that each page is about.
            assert!(
                shown.contains("filter: holds") && shown.contains("at_risk_of_churn"),
                "{}: {shown}",
                vendor.preset
            );
            assert!(!shown.contains("very-secret"), "{}: {shown}", vendor.preset);
        }
        let commands = blocks(&text, "sh").join("\n");
        let preview = format!(
            "lifecycle deliver test {} --config deliver.yaml --transition examples/transition.json",
            vendor.preset
        );
        assert!(commands.contains(&preview) && commands.contains("--check"), "{}: {commands}", vendor.preset);
    }
}

#[test]
fn the_filters_of_the_overview_name_transitions_of_shipped_models() {
    let text = page("README");
    let mut count = 0;
    for row in text.lines().filter(|line| line.starts_with("| ") && line.contains("| `transition.")) {
        let filter = row.split('`').nth(1).expect("a filter");
        assert!(Expression::compile(filter, FILTER_ROOTS).is_ok(), "{filter}");
        let mut texts = filter.split('"').skip(1).step_by(2);
        if filter.contains("transition.model") {
            let model = texts.next().expect("a model");
            let models =
                ModelChoice::of(&[model.to_owned()]).load(false).unwrap_or_else(|_| panic!("no model {model}"));
            let names = format!("{:?}", models.models);
            for name in texts {
                assert!(names.contains(&format!("\"{name}\"")), "{model} publishes no {name}");
                count += 1;
            }
        }
    }
    assert!(count >= 8, "{count} names");
}
