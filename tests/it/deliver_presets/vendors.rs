//! What the presets and their tools differ in.

use serde_json::Value;

use crate::deliver_vendors::server::{Event, Tool, VendorServer};
use crate::deliver_vendors::{braze, customerio, ga4, hubspot, iterable, klaviyo, mailchimp, segment, slack};

/// The shipped models.
const MODELS: [&str; 6] =
    ["awareness_to_loyalty", "classic_seven", "engagement_cycle", "loyalty_ladder", "reach_to_advocacy", "retention"];

/// A preset, and the server of its vendor.
pub(super) struct Vendor {
    pub(super) preset: &'static str,
    pub(super) start: fn() -> VendorServer,
    /// The lines under `settings`, for a server at the URL. The secret is in the file `secret`.
    pub(super) settings: fn(&str) -> Vec<String>,
    /// The secret that the server accepts.
    pub(super) secret: fn(&str) -> String,
    /// Makes a customer known to the tool.
    pub(super) prepare: fn(&mut Tool, &str),
    /// Whether the preset delivers replayed transitions, too.
    pub(super) takes_replayed: bool,
    /// Whether the vendor reports that it rejects single items.
    pub(super) rejects_customers: bool,
    /// Whether an event of the tool is counted as a transition.
    pub(super) is_counted: fn(&Event) -> bool,
    /// The stage of a customer in a model, as the tool shows it.
    pub(super) stage: fn(&Tool, &str, &str) -> Option<String>,
}

/// A vendor without peculiarities.
const PLAIN: Vendor = Vendor {
    preset: "",
    start: || unreachable!("each vendor has a server"),
    settings: |url| vec![format!("endpoint: \"{url}\""), "api_key_file: secret".to_owned()],
    secret: |_| String::new(),
    prepare: |_, _| (),
    takes_replayed: false,
    rejects_customers: true,
    is_counted: |_| true,
    stage: |tool, customer, model| attribute(tool, customer, &format!("lifecycle_{model}")),
};

pub(super) const VENDORS: &[Vendor] = &[
    Vendor { preset: "braze", start: || VendorServer::start(braze::Braze), secret: |_| braze::KEY.to_owned(), ..PLAIN },
    Vendor {
        preset: "customerio",
        start: || VendorServer::start(customerio::CustomerIo),
        settings: |url| {
            vec![format!("endpoint: \"{url}\""), "site_id: site".to_owned(), "api_key_file: secret".to_owned()]
        },
        secret: |_| "key".to_owned(),
        ..PLAIN
    },
    Vendor {
        preset: "klaviyo",
        start: || VendorServer::start(klaviyo::Klaviyo),
        secret: |_| klaviyo::KEY.to_owned(),
        takes_replayed: true,
        ..PLAIN
    },
    Vendor {
        preset: "hubspot",
        start: || {
            let mut properties =
                vec!["lifecycle_last_transition".to_owned(), "lifecycle_last_transition_at".to_owned()];
            properties.extend(
                MODELS.iter().flat_map(|model| [format!("lifecycle_{model}"), format!("lifecycle_{model}_since")]),
            );
            VendorServer::start(hubspot::HubSpot::new(&properties.iter().map(String::as_str).collect::<Vec<_>>()))
        },
        settings: |url| {
            vec![
                format!("endpoint: \"{url}\""),
                "token_file: secret".to_owned(),
                "event_name: pe1_lifecycle".to_owned(),
            ]
        },
        secret: |_| hubspot::TOKEN.to_owned(),
        // The change of a property; the custom event comes after it.
        is_counted: |event| event.name == "pe1_lifecycle",
        stage: |tool, customer, model| {
            attribute(tool, customer, &format!("lifecycle_{model}")).filter(|stage| !stage.is_empty())
        },
        ..PLAIN
    },
    Vendor {
        preset: "segment",
        start: || VendorServer::start(segment::Segment),
        settings: |url| vec![format!("endpoint: \"{url}\""), "write_key_file: secret".to_owned()],
        secret: |_| "write-key".to_owned(),
        // Segment answers with success to what it drops.
        rejects_customers: false,
        ..PLAIN
    },
    Vendor {
        preset: "iterable",
        start: || VendorServer::start(iterable::Iterable),
        secret: |_| iterable::KEY.to_owned(),
        ..PLAIN
    },
    Vendor {
        preset: "mailchimp",
        start: || VendorServer::start(mailchimp::Mailchimp),
        settings: |url| {
            vec![
                format!("endpoint: \"{url}\""),
                "api_key_file: secret".to_owned(),
                format!("audience: {}", mailchimp::AUDIENCE),
            ]
        },
        secret: |_| "test-us21".to_owned(),
        prepare: |tool, customer| _ = tool.members.insert(md5_hex(&customer.to_lowercase()), customer.to_owned()),
        stage: |tool, customer, model| {
            let tags = tool.profiles.get(customer)?.keys();
            let stages: Vec<&str> = tags.filter_map(|tag| tag.strip_prefix(model)?.strip_prefix(": ")).collect();
            assert_eq!(stages.len(), 1, "{customer} has several stages of {model}: {stages:?}");
            Some(stages[0].to_owned()).filter(|stage| stage != "none")
        },
        ..PLAIN
    },
    Vendor {
        preset: "ga4",
        start: || VendorServer::start(ga4::Ga4),
        settings: |url| {
            vec![
                format!("endpoint: \"{url}\""),
                "measurement_id: G-TEST".to_owned(),
                "api_secret_file: secret".to_owned(),
            ]
        },
        secret: |_| "ga4-secret".to_owned(),
        // Google answers with success to everything.
        rejects_customers: false,
        stage: |tool, customer, model| {
            attribute(tool, customer, &format!("lc_{model}")).filter(|stage| stage != "none")
        },
        ..PLAIN
    },
    Vendor {
        preset: "slack",
        start: || VendorServer::start(slack::Slack { is_archived: false }),
        settings: |_| vec!["webhook_url_file: secret".to_owned()],
        secret: |url| format!("{url}{}", slack::PATH),
        rejects_customers: false,
        stage: |_, _, _| None,
        ..PLAIN
    },
];

fn attribute(tool: &Tool, customer: &str, name: &str) -> Option<String> {
    tool.profiles.get(customer)?.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// Returns the MD5 digest that Mailchimp calls the subscriber hash.
fn md5_hex(text: &str) -> String {
    use md5::Digest as _;
    format!("{:032x}", u128::from_be_bytes(md5::Md5::digest(text).into()))
}
