//! A load's report for people.

use chaski_bench::result::{Figures, Latency, ProcessUse, Report};

/// Its lines.
pub(super) fn of(report: &Report) -> Vec<String> {
    let Report { options, figures, .. } = report;
    let mut lines = vec![title(report)];
    lines.extend(options.model.as_ref().map(|model| format!("model        {model}")));
    lines.push(logins(figures));
    if let Some(bytes) = figures.server_resident_bytes_per_session {
        lines.push(format!("memory       {bytes:.0} resident bytes of the server per session"));
    }
    if let Some(bytes) = figures.generator_resident_bytes_per_session {
        lines.push(format!("             {bytes:.0} of the generator"));
    }
    lines.extend(messages(figures));
    lines.extend(report.latencies.iter().map(|(name, latency)| line_of(name, latency)));
    lines.extend(figures.recovery_s.map(|s| {
        let resumed = figures.resumed.unwrap_or_default();
        format!("recovery     {s:.1} s until all were back, {resumed} of them resumed")
    }));
    lines.extend(report.server.as_ref().map(|used| line_of_process("server", used)));
    lines.push(line_of_process("generator", &report.generator));
    lines.extend(report.complaints.iter().map(|complaint| format!("COMPLAINT    {complaint}")));
    lines
}

/// One table for the ways to log in: what they cost when everybody comes back.
pub(super) fn of_ways(reports: &[Report]) -> Vec<String> {
    let mut lines: Vec<String> = reports.first().map(title).into_iter().collect();
    lines.push("coming back         logins/s    resumed   server CPU each   login p50     p99".to_owned());
    for Report { options, figures, latencies, complaints, .. } in reports {
        let latency = latencies.get("login_back").copied().unwrap_or_default();
        let way = match options.tls_resumption {
            true => format!("{}, ticket", options.way),
            false => options.way.clone(),
        };
        let rate = figures.logins_per_s.unwrap_or_default();
        let cpu_us = figures.server_cpu_us_per_return.unwrap_or_default();
        let resumed = figures.resumed.unwrap_or_default();
        lines.push(format!(
            "{way:17} {rate:10.0} {resumed:10} {cpu_us:14.0} µs {:8.1} ms {:4.1} ms",
            latency.p50_us as f64 / 1e3,
            latency.p99_us as f64 / 1e3
        ));
        lines.extend(complaints.iter().map(|complaint| format!("COMPLAINT    {way}: {complaint}")));
    }
    lines
}

fn title(report: &Report) -> String {
    let Report { options, figures, .. } = report;
    let mut title = format!("{} sessions, {}", options.sessions, options.transport);
    if !options.mechanism.is_empty() {
        title.push_str(&format!(", {}", options.mechanism));
    }
    if !matches!(options.way.as_str(), "" | "classic") {
        title.push_str(&format!(", {} logins", options.way));
    }
    if let Some(in_flight) = options.in_flight {
        title.push_str(&format!(", {in_flight} in flight per pair"));
    }
    if let Some(rate) = options.rate_per_s {
        let what = if options.contacts.is_some() { "updates" } else { "messages" };
        title.push_str(&format!(", {rate} {what}/s intended"));
    }
    if let Some(contacts) = options.contacts {
        title.push_str(&format!(", {contacts} contacts each"));
    }
    format!("{title}, {:.1} s, {} generator threads", figures.measured_s, options.threads)
}

fn logins(figures: &Figures) -> String {
    let rate = figures.logins_per_s.unwrap_or_default();
    match figures.server_cpu_us_per_login {
        Some(us) => format!("logins       {rate:.0} per second, {us:.0} µs of server CPU each"),
        None => format!("logins       {rate:.0} per second"),
    }
}

fn presence(figures: &Figures) -> Vec<String> {
    let (Some(sent), Some(delivered)) = (figures.presence_sent, figures.presence_delivered) else {
        return Vec::new();
    };
    let per_s = figures.presence_per_s.unwrap_or_default();
    let mut lines =
        vec![format!("presence     {sent} updates sent, {delivered} delivered, {per_s:.0} per second")];
    lines.extend(
        figures.server_cpu_us_per_presence.map(|us| format!("server CPU   {us:.2} µs per update delivered")),
    );
    lines
}

fn messages(figures: &Figures) -> Vec<String> {
    if figures.presence_sent.is_some() {
        return presence(figures);
    }
    if figures.sent == 0 && figures.deliveries == 0 {
        return Vec::new();
    }
    let accepted = figures.accepted.map_or("not told".into(), |count| count.to_string());
    let mut lines = vec![
        format!(
            "throughput   {:.0} messages/s, {:.0} deliveries of any kind/s",
            figures.messages_per_s.unwrap_or_default(),
            figures.deliveries_per_s.unwrap_or_default()
        ),
        format!(
            "messages     {} sent, {accepted} accepted, {} refused, {} delivered, {} again, {} lost",
            figures.sent, figures.refused, figures.delivered, figures.duplicates, figures.lost
        ),
    ];
    if figures.unsent > 0 {
        lines.push(format!("not sent     {} messages: no session could send them", figures.unsent));
    }
    lines.extend(figures.server_cpu_us_per_message.map(|us| format!("server CPU   {us:.1} µs per message")));
    lines
}

fn line_of(name: &str, it: &Latency) -> String {
    let ms = |us: u64| us as f64 / 1000.0;
    let (p50, p90, p99, p999, max) =
        (ms(it.p50_us), ms(it.p90_us), ms(it.p99_us), ms(it.p999_us), ms(it.max_us));
    format!(
        "{name:<12} p50 {p50:.2} ms, p90 {p90:.2} ms, p99 {p99:.2} ms, p99.9 {p999:.2} ms, slowest {max:.2} ms"
    )
}

fn line_of_process(name: &str, used: &ProcessUse) -> String {
    let mb = |bytes: u64| bytes / 1_000_000;
    format!(
        "{name:<12} {:.0} % CPU; memory {} MB empty, {} MB loaded, {} MB in the end, {} MB at most",
        used.cpu_percent,
        mb(used.resident_bytes_start),
        mb(used.resident_bytes_loaded),
        mb(used.resident_bytes_end),
        mb(used.resident_bytes_max)
    )
}
