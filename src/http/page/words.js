// Every word of the page, in both languages. Nothing here is ever taken for HTML.
"use strict";

const Words = (() => {
  const en = {
    language: "Русский", logout: "Log out", login: "Log in", user: "Name", password: "Password",
    login_failed: "Name or password is wrong.", login_later: "Too many attempts. Try again in 15 minutes.",
    login_busy: "Somebody else is logging in right now. Try again.",
    lost: "No connection to the service. Trying again…",
    now: "On the line", today: "Calls today", missed_today: "Missed today", to_call_back: "To call back",
    live: "Right now", live_none: "Nobody is on the phone.", back: "Missed, not called back",
    back_none: "Everybody has been called back.", recent: "Recent calls", recent_none: "No calls yet.", service: "Service",
    incoming: "incoming", outgoing: "outgoing", internal: "internal",
    ringing: "ringing", in_progress: "talking", completed: "answered", missed: "missed", no_answer: "no answer",
    busy: "busy", failed: "failed", cancelled: "cancelled", waiting_line: "in the menu or queue",
    reason_greeting: "hung up in the greeting", reason_menu: "lost in the menu", reason_queue: "lost in the queue",
    reason_abandoned: "gave up while phones rang", reason_no_answer: "nobody took it", reason_busy: "all were busy",
    reason_unreachable: "no phone could be reached", reason_rejected: "refused by the dialplan",
    reason_dialplan_error: "error in the dialplan", reason_voicemail: "reached voicemail",
    reason_lookup: "hung up during the lookup", reason_lost: "the link to Asterisk broke",
    reason_agent_no_answer: "own phone not answered", reason_agent_busy: "own phone busy",
    reason_agent_unreachable: "own phone unreachable",
    unknown: "number withheld", listen: "Listen", download: "Download", gone: "file is gone",
    unavailable: "folder not mounted", empty: "nothing was recorded", recording_now: "being recorded", cannot_play: "cannot be played here",
    done: "Done", tried: n => n === 1 ? "called once" : `called ${n} times`, timeline: "How it went",
    click: "click-to-call", pbx: "Exchange", crm: "CRM", up: "connected", down: "no connection",
    since: "since", waits: n => `${n} waiting`, parked: n => `${n} refused`, all_sent: "everything delivered",
    pair_active: "active", pair_standby: "stands by", pair_other: "active is",
    oldest: "oldest from", last_success: "last delivered", next_try: "next attempt", last_requests: "Last requests",
    seconds: "s", minutes: "min", hours: "h", no_answer_http: "no answer", outside: "outside hours",
    step_enter: "came in", step_greeting: "greeting", step_menu: "menu", step_digits: "pressed", step_queue: "queue",
    step_lookup: "looked up", step_ring: "rings", step_ring_end: "stopped ringing", step_answer: "answered",
    step_hold: "on hold", step_unhold: "back from hold", step_transfer: "transferred", step_park: "parked",
    step_retrieve: "retrieved", step_pickup: "picked up", step_recording: "recording", step_voicemail: "voicemail",
    step_hangup: "hung up", how_blind: "blind", how_attended: "after a talk",
  };
  const ru = {
    language: "English", logout: "Выйти", login: "Войти", user: "Имя", password: "Пароль",
    login_failed: "Неверное имя или пароль.", login_later: "Слишком много попыток. Повторите через 15 минут.",
    login_busy: "Сейчас входит кто-то другой. Попробуйте ещё раз.",
    lost: "Нет связи со службой. Пробуем снова…",
    now: "На линии", today: "Звонков сегодня", missed_today: "Пропущено сегодня", to_call_back: "Перезвонить",
    live: "Сейчас", live_none: "Никто не разговаривает.", back: "Пропущенные, не перезвонили",
    back_none: "Всем перезвонили.", recent: "Последние звонки", recent_none: "Звонков ещё не было.", service: "Служба",
    incoming: "входящий", outgoing: "исходящий", internal: "внутренний",
    ringing: "звонит", in_progress: "разговор", completed: "отвечен", missed: "пропущен", no_answer: "нет ответа",
    busy: "занято", failed: "не удался", cancelled: "отменён", waiting_line: "в меню или очереди",
    reason_greeting: "положил трубку на приветствии", reason_menu: "потерян в меню", reason_queue: "потерян в очереди",
    reason_abandoned: "не дождался, телефоны звонили", reason_no_answer: "никто не взял трубку", reason_busy: "все были заняты",
    reason_unreachable: "ни один телефон не доступен", reason_rejected: "отклонён диалпланом",
    reason_dialplan_error: "ошибка в диалплане", reason_voicemail: "попал на голосовую почту",
    reason_lookup: "положил трубку во время поиска", reason_lost: "связь с Asterisk прервалась",
    reason_agent_no_answer: "свой телефон не ответил", reason_agent_busy: "свой телефон занят",
    reason_agent_unreachable: "свой телефон недоступен",
    unknown: "номер скрыт", listen: "Слушать", download: "Скачать", gone: "файла больше нет",
    unavailable: "папка не подключена", empty: "запись пуста", recording_now: "идёт запись", cannot_play: "здесь не воспроизводится",
    done: "Готово", tried: n => `звонили ${n} ${plural(n, "раз", "раза", "раз")}`, timeline: "Как это было",
    click: "звонок из CRM", pbx: "АТС", crm: "CRM", up: "на связи", down: "нет связи",
    since: "с", waits: n => `${n} ${plural(n, "ждёт", "ждут", "ждут")}`, parked: n => `${n} ${plural(n, "отклонена", "отклонены", "отклонено")}`,
    pair_active: "активен", pair_standby: "в резерве", pair_other: "активен",
    all_sent: "всё доставлено", oldest: "самая старая от", last_success: "последняя доставка", next_try: "следующая попытка",
    last_requests: "Последние запросы", seconds: "с", minutes: "мин", hours: "ч", no_answer_http: "нет ответа",
    outside: "вне рабочего времени",
    step_enter: "поступил", step_greeting: "приветствие", step_menu: "меню", step_digits: "нажато", step_queue: "очередь",
    step_lookup: "поиск клиента", step_ring: "звонит", step_ring_end: "перестал звонить", step_answer: "ответ",
    step_hold: "на удержании", step_unhold: "снят с удержания", step_transfer: "переведён", step_park: "на парковке",
    step_retrieve: "забрали с парковки", step_pickup: "перехвачен", step_recording: "запись", step_voicemail: "голосовая почта",
    step_hangup: "отбой", how_blind: "без разговора", how_attended: "с разговором",
  };

  function plural(n, one, few, many) {
    const form = new Intl.PluralRules("ru").select(n);
    return form === "one" ? one : form === "few" ? few : many;
  }

  const kept = () => { try { return localStorage.getItem("language"); } catch { return null; } };
  const wanted = kept() || new URLSearchParams(location.search).get("lang") || navigator.language || "en";
  let language = wanted.startsWith("ru") ? "ru" : "en";

  const of = (word, ...values) => {
    const found = (language === "ru" ? ru : en)[word];
    return found === undefined ? String(word) : typeof found === "function" ? found(...values) : found;
  };

  return {
    of,
    // What has no word of its own stays as it is.
    orItself: (kind, text) => (en[`${kind}_${text}`] === undefined ? text : of(`${kind}_${text}`)),
    language: () => language,
    other() {
      language = language === "ru" ? "en" : "ru";
      try { localStorage.setItem("language", language); } catch { /* a private window forgets it */ }
    },
    fill() {
      document.documentElement.lang = language;
      for (const element of document.querySelectorAll("[data-word]")) element.textContent = of(element.dataset.word);
      document.getElementById("language").textContent = of("language");
    },
    lists: { en, ru },
  };
})();
