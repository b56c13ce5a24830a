//! Rows as HAProxy's readers see them.

use super::*;

/// The first line of HAProxy 2.6, as far as all versions agree.
const HEADER: &str = "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,\
weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,rate_lim,rate_max,\
check_status,check_code,check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,req_rate,req_rate_max,\
req_tot,cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,ctime,rtime,ttime,agent_status,\
agent_code,agent_duration,check_desc,agent_desc,check_rise,check_fall,check_health,agent_rise,agent_fall,agent_health,addr,cookie,\
mode,algo,conn_rate,conn_rate_max,conn_tot,intercepted,dcon,dses,wrew,connect,reuse,cache_lookups,cache_hits,srv_icur,src_ilim,\
qtime_max,ctime_max,rtime_max,ttime_max,eint,idle_conn_cur,safe_conn_cur,used_conn_cur,need_conn_est,uweight,agg_server_status,\
agg_server_check_status,agg_check_status,-,";

fn some() -> Rows {
    let mut frontend = Row::new(Kind::Frontend, ("web", 2), ("FRONTEND", 0));
    frontend.set(Column::Stot, 7_u64);
    let mut server = Row::new(Kind::Server, ("be", 3), ("s1", 1));
    server.set(Column::Status, "DOWN");
    server.set(Column::LastChk, "said \"no, never\"\nand left");
    server.set(Column::Lastsess, -1);
    server.set(Column::Stot, 5_u64);
    server.set(Column::Act, 1_u32);
    let mut backend = Row::new(Kind::Backend, ("be", 3), ("BACKEND", 0));
    backend.set(Column::Status, "UP");
    backend.set(Column::Act, 2_u32);
    backend.servers = (2, 3);
    Rows(vec![frontend, server, backend])
}

#[test]
fn csv_is_haproxys() {
    let text = csv(&some());
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], HEADER);
    let commas = HEADER.matches(',').count();
    assert_eq!(lines[1].matches(',').count(), commas);
    assert!(lines[1].starts_with("web,FRONTEND,,,,,,7,,") && lines[1].ends_with(",,-,"), "{}", lines[1]);
    assert_eq!(lines.len(), 4, "a line a row, whatever a server said");
    assert!(lines[2].contains(",\"said \"\"no, never\"\" and left\","), "{}", lines[2]);
}

#[test]
fn the_typed_form_is_haproxys() {
    let text = typed(&some());
    for line in [
        "F.2.0.0.pxname.1:KNS:str:web",
        "F.2.0.7.stot.1:MCP:u64:7",
        "S.3.1.17.status.1:SGP:str:DOWN",
        "S.3.1.19.act.1:SGP:u32:1",
        "S.3.1.28.sid.1:KGS:u32:1",
        "S.3.1.55.lastsess.1:MAP:s32:-1",
        "B.3.0.19.act.1:MGP:u32:2",
        "B.3.0.32.type.1:CGS:u32:1",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is not in:\n{text}");
    }
}

#[test]
fn json_is_haproxys() {
    let all: serde_json::Value = serde_json::from_str(&json(&some())).unwrap();
    let wanted = serde_json::json!({
        "objType": "Server", "proxyId": 3, "id": 1, "field": { "pos": 7, "name": "stot" }, "processNum": 1,
        "tags": { "origin": "Metric", "nature": "Counter", "scope": "Process" },
        "value": { "type": "u64", "value": 5 },
    });
    assert!(all[1].as_array().unwrap().contains(&wanted), "{all}");
}

#[test]
fn rows_are_asked_for_by_name_number_kind_and_state() {
    let asked = |filter: Filter| {
        let mut rows = some();
        rows.retain(&filter);
        rows.0
            .iter()
            .map(|row| format!("{} {}", row.text(Column::Svname), row.text(Column::Status)))
            .collect::<Vec<_>>()
    };
    let proxy = |name: &str| Filter { proxy: Some(name.to_owned()), ..Filter::default() };
    assert_eq!(asked(proxy("be")), ["s1 DOWN", "BACKEND UP"]);
    assert_eq!(asked(proxy("2")), ["FRONTEND "]);
    assert_eq!(asked(Filter { kinds: Some(5), ..Filter::default() }), ["FRONTEND ", "s1 DOWN"]);
    assert_eq!(asked(Filter { sid: Some(1), ..Filter::default() }), ["s1 DOWN"]);
    assert_eq!(asked(Filter { hide_down: true, ..Filter::default() }), ["FRONTEND ", "BACKEND UP (2/3)"]);
    assert_eq!(asked(Filter { hide_maint: true, ..Filter::default() }), ["FRONTEND ", "s1 DOWN", "BACKEND UP (2/3)"]);
}

#[test]
fn counters_begin_anew_and_nothing_else_does() {
    let mut rows = some();
    rows.0[0].set(Column::Stot, 9_u64);
    let mut before = some();
    before.0.remove(1);
    rows.count_from(&before);
    assert_eq!(rows.0[0].get(Column::Stot), Some(&Value::U64(2)));
    assert_eq!(rows.0[1].get(Column::Stot), Some(&Value::U64(5)), "nothing was known of it");
    assert_eq!(rows.0[2].get(Column::Act), Some(&Value::U32(2)));
}
