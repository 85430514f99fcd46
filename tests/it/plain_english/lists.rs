//! The lists of `plain_english`: phrases to avoid, replaced names, and the uses of both that are correct.

/// Phrases to avoid, separated by `|`, and plainer forms. Case is ignored, and a line break counts as a space.
pub(super) const PHRASES: &[(&str, &str)] = &[
    ("told|tell|tells|telling", "report, log, export, return, configure, notify, distinguish"),
    ("stand|stands|stood", "be, appear, mean; for a stage: be in"),
    ("bear|bears|bearing|bore|borne", "have, contain, carry"),
    ("anew", "again; or name the act: restart, recreate, rewrite"),
    ("lie|lies|lain", "be, be stored in"),
    ("whoever|somebody|nobody", "name the actor: the caller, the operator, the consumer; or: no one, not, none"),
    ("in vain", "without success, timed out"),
    ("road|roads", "path"),
    ("old news", "replayed, historical"),
    ("so many", "the number, that number of"),
    ("for ever", "indefinitely, permanently"),
    ("set aside|sets aside|setting aside", "write to the dead-letter topic; stage; reserve"),
    ("take up|takes up|took up|taken up|taking up", "start, begin, accept, occupy"),
    ("work off|works off|worked off|working off", "process, fire, drain"),
    ("see to|sees to|seen to", "handle, ensure, load"),
    ("how-manieth|how manieth", "sequence number, index"),
    ("for as long as", "while, until"),
    ("what it is worth", "its value"),
    ("heir|heirs", "new owner"),
    ("comes to nothing|came to nothing", "is aborted, is discarded, fails"),
    ("is no|are no|was no|were no|be no|been no", "is not a, is not an"),
];

/// Words that make the last phrases correct: before them ("there is no"), and after them ("is no longer").
pub(super) const BEFORE_IS_NO: &[&str] = &["there", "where"];
pub(super) const AFTER_IS_NO: &[&str] = &["longer", "more", "other", "such", "need", "way", "one"];

/// Identifiers that were replaced, with the folder in which the old ones must not return, and their successors.
pub(super) const OLD_NAMES: &[(&str, &str, &str)] = &[
    (
        "src/",
        "Held|Uncounted|CaughtUp|Scales|weigh|weigh_at|weighed_on",
        "AssignedPartition, PendingCounts, Watermark, MemoryBudget",
    ),
    ("src/", "Board|Seen|Told|hear|Wish|LookAway", "StatusRegistry, WorkerSnapshot, Update, apply, Action"),
    (
        "src/",
        "Author|Draft|NOWHERE|Aside|set_aside|lay_aside",
        "TransitionBuilder, PendingTransition, Slot, Staged, stage",
    ),
    (
        "src/",
        "Succession|succeed|heir|shut_out|hasty|patient",
        "ZombieFencing, fence_previous_owner, the isolation level",
    ),
    (
        "src/",
        "Repeats|unsaid|Feed|renew|renewals|journeys",
        "LogThrottle, suppressed, PlainProducer, reset_producer, workload",
    ),
    (
        "src/",
        "Population|Extent|take_up|give_up|gain|lose",
        "StageCounts, ChangelogRange, begin_restore, on_assigned, on_revoked, on_lost",
    ),
    (
        "src/",
        "Malformed|SetAside|Ending|Ended|beat|settle",
        "DeadLetter, ExitReason, ReportOnDrop, heartbeat, set_ready",
    ),
    ("src/kafka/", "Listener", "Context"),
    ("src/live/", "Passed|Silence", "TransitionRow, Disconnected"),
    (
        "src/partition/",
        "Place|Places|places|reached|passed|present|seal|looks|Rejected",
        "Slot, stream_time, encode_staged, budget, DeadLetter",
    ),
    (
        "src/runtime/",
        "held|Share|Note|Intake|Course|Rejected|prove|silence",
        "partitions, PartitionCommit, MetadataFields, FetchState, RestoreProgress, confirm",
    ),
    ("src/service/", "Parts", "ServiceOptions"),
];

/// Correct uses: a file, and text of the line that contains the phrase or the name. An entry without a match fails.
pub(super) const ALLOWED: &[(&str, &str)] = &[("docs/guide.md", "Tell the consumers")];
