/**
 * Telephony on every page of the CRM: the player, click-to-call on phone numbers, the window of an incoming call, «my extension
 * today» and the bar that says when telephony does not work. Whatever came from a telephone network is put into the page as text,
 * never as HTML.
 */
/* global jQuery, app, _USERMETA */
(function (jQuery) {
	'use strict';

	var BOOT_KEPT_MS = 300000;
	var POLL_MS = 1000;
	var STATE_EVERY_MS = 30000;
	/** While the connector itself tells what rings, the CRM is asked only now and then. */
	var QUIET_POLL_MS = 15000;
	/** How soon the CRM is asked who that is; again until it knows the call, or longer than that. */
	var ENRICH_MS = 250;
	var ENRICH_WATCHED_MS = 6000;
	var CONNECT_MS = 10000;
	/** The connector says that it is there every 20 s. */
	var SILENT_STREAM_MS = 50000;
	var DIRECT_PAUSE_MS = 60000;
	var DIRECT_PAUSE_MAX_MS = 600000;
	var CLICK_POLL_MS = 1000;
	var CLICK_WATCHED_MS = 120000;
	var LIVE_URL = 'modules/Calls/live.php';

	var boot = null;

	/** A label in the user's language: vTiger gives a page the labels of its own module only, so ours come with the facts. */
	function say(key) {
		var strings = (boot && boot.strings) || {};
		return strings['JS_CALLS_' + key] || 'JS_CALLS_' + key;
	}

	/** An element with text and children; nothing here ever parses HTML. */
	function make(tag, attributes, children) {
		var element = document.createElement(tag);
		Object.keys(attributes || {}).forEach(function (name) {
			if (name === 'text') {
				element.textContent = attributes[name];
			} else if (name === 'click') {
				element.addEventListener('click', attributes[name]);
			} else {
				element.setAttribute(name, attributes[name]);
			}
		});
		(children || []).forEach(function (child) {
			if (child) {
				element.appendChild(child);
			}
		});
		return element;
	}

	/** A POST to an action of the module; vTiger's own token is added by csrf-magic's hook on XMLHttpRequest. */
	function post(action, data, done) {
		jQuery.ajax({
			url: 'index.php',
			type: 'POST',
			dataType: 'json',
			data: jQuery.extend({ module: 'Calls', action: action }, data)
		}).done(function (answer) {
			done(answer && answer.success ? null : ((answer && answer.error) || { code: 'no_answer_from_crm' }),
				answer ? answer.result : null);
		}).fail(function () {
			done({ code: 'no_answer_from_crm' }, null);
		});
	}

	/* Facts of this page. ------------------------------------------------------------------------------------------- */

	function bootKey() {
		return 'PinCalls.boot.' + (typeof _USERMETA !== 'undefined' ? _USERMETA.id : '');
	}

	function forgetBoot() {
		try {
			sessionStorage.removeItem(bootKey());
		} catch (refused) {
			return;
		}
	}

	function loadBoot(done) {
		var kept = null;
		try {
			kept = JSON.parse(sessionStorage.getItem(bootKey()));
		} catch (refused) {
			kept = null;
		}
		if (kept && Date.now() - kept.at < BOOT_KEPT_MS) {
			done(kept.facts);
			return;
		}
		jQuery.ajax({ url: 'index.php?module=Calls&action=Boot', dataType: 'json' }).done(function (answer) {
			var facts = answer && answer.success ? answer.result : { allowed: false };
			try {
				sessionStorage.setItem(bootKey(), JSON.stringify({ at: Date.now(), facts: facts }));
			} catch (refused) {
				// A browser without storage asks again on the next page.
			}
			done(facts);
		});
	}

	/* Player. ------------------------------------------------------------------------------------------------------- */

	function whyNoSound(holder, url) {
		jQuery.ajax({ url: url, type: 'HEAD' }).always(function (first, outcome, third) {
			var xhr = outcome === 'success' ? third : first;
			var reason = xhr && xhr.getResponseHeader ? xhr.getResponseHeader('X-Calls-Recording') : '';
			var words = { deleted: say('DELETED'), not_allowed: say('not_allowed'), recording: say('RECORDING') };
			var text = words[reason] || say('UNREACHABLE_RECORDING');
			holder.appendChild(make('span', { 'class': 'calls-no-sound', text: ' ' + text }));
		});
	}

	function play(button) {
		var holder = button.parentNode;
		var url = holder.getAttribute('data-calls-recording');
		var audio = make('audio', { controls: 'controls', preload: 'metadata', src: url, 'class': 'calls-audio' });
		// A list's cell has no room for it: there it stands below (Calls.css), and its row gets the button back.
		audio.callsOver = function () {
			audio.pause();
			if (audio.parentNode && holder.closest('.listViewEntryValue, .relatedListEntryValues')) {
				holder.replaceChild(button, audio);
			}
		};
		audio.addEventListener('ended', audio.callsOver);
		audio.addEventListener('error', function () {
			holder.removeChild(audio);
			whyNoSound(holder, url);
		});
		Array.prototype.forEach.call(document.querySelectorAll('audio.calls-audio'), function (other) {
			other.callsOver();
		});
		holder.replaceChild(audio, button);
		var started = audio.play();
		if (started && started['catch']) {
			// The error event tells what there is to tell.
			started['catch'](function () { return; });
		}
	}

	/* Click-to-call. ------------------------------------------------------------------------------------------------ */

	var box = null;

	function closeBox() {
		if (box && box.element.parentNode) {
			box.element.parentNode.removeChild(box.element);
		}
		if (box) {
			window.clearTimeout(box.timer);
		}
		box = null;
	}

	function showState(state, reason) {
		var text = say(state);
		if (reason) {
			var known = say(reason);
			text += ': ' + (known === 'JS_CALLS_' + reason ? reason : known);
		}
		box.element.setAttribute('data-state', state);
		box.line.textContent = text;
		var over = ['done', 'failed', 'refused'].indexOf(state) >= 0;
		box.cancel.style.display = over || !box.request ? 'none' : '';
		if (over) {
			box.request = '';
			var shown = box;
			window.setTimeout(function () {
				if (box === shown) {
					closeBox();
				}
			}, state === 'done' ? 4000 : 15000);
		}
		return over;
	}

	function watch() {
		if (!box || !box.request || Date.now() - box.since > CLICK_WATCHED_MS) {
			return;
		}
		var watched = box;
		watched.timer = window.setTimeout(function () {
			post('ClickToCall', { mode: 'state', request: watched.request }, function (error, result) {
				if (box !== watched) {
					return;
				}
				if (error || !showState(result.state, result.reason)) {
					watch();
				}
			});
		}, CLICK_POLL_MS);
	}

	function call(number, record) {
		closeBox();
		box = { request: '', since: Date.now(), timer: 0 };
		box.line = make('div', { 'class': 'calls-box-line', text: '…' });
		box.cancel = make('button', { type: 'button', 'class': 'btn btn-danger btn-xs calls-cancel', text: say('CANCEL'), click: function () {
			post('ClickToCall', { mode: 'cancel', request: box.request }, function (error, result) {
				if (box && result) {
					showState(result.state, result.reason);
				}
			});
		} });
		box.cancel.style.display = 'none';
		box.element = make('div', { 'class': 'calls-box', id: 'calls-box' }, [
			make('b', { text: number }), box.line, box.cancel,
			make('button', { type: 'button', 'class': 'btn btn-default btn-xs', text: say('CLOSE'), click: closeBox })
		]);
		document.body.appendChild(box.element);
		var placed = box;
		post('ClickToCall', { mode: 'place', number: number, record: record }, function (error, result) {
			if (box !== placed) {
				return;
			}
			if (error) {
				showState('refused', error.code);
				return;
			}
			box.request = result.request;
			if (!showState(result.state, result.reason)) {
				watch();
			}
		});
	}

	function recordOf(cell) {
		var row = cell.closest('[data-id], [data-recordid]');
		if (row && /^\d+$/.test(row.getAttribute('data-id') || '')) {
			return row.getAttribute('data-id');
		}
		var detail = document.getElementById('recordId');
		return detail ? detail.value : '';
	}

	/**
	 * Lists, tabs and the whole card say of a field that it is a phone; a record's head and summary do so only to who may change it there,
	 * to others by its label alone.
	 */
	function markPhones(root) {
		if (!boot || !boot.may_call) {
			return;
		}
		var labels = (boot.phone_labels || {})[typeof app !== 'undefined' && app.getModuleName ? app.getModuleName() : ''] || [];
		function isPhone(label) {
			return labels.indexOf(label.trim()) >= 0;
		}
		function mark(selector, placeOf) {
			Array.prototype.forEach.call(root.querySelectorAll(selector), function (found) {
				var place = placeOf(found);
				var number = place ? (place.textContent || '').trim() : '';
				// Asked of the place each time: a number that was changed on the page comes without our icon.
				if (!/\d{2}/.test(number) || place.querySelector('.calls-call') || place.closest('.editElement, .searchRow, #calls-box')) {
					return;
				}
				place.appendChild(make('a', {
					'class': 'calls-call', href: 'javascript:void(0)', title: say('CALL'), text: ' \u260E',
					click: function (event) {
						event.preventDefault();
						event.stopPropagation();
						call(number, recordOf(place));
					}
				}));
			});
		}
		mark('[data-field-type="phone"]', function (cell) {
			return cell.querySelector('.value') || cell;
		});
		mark('.fieldBasicData[data-type="phone"]', function (input) {
			var field = input.closest('.fieldValue, .fieldLabel, td');
			return field && field.querySelector('.value');
		});
		mark('.summaryViewEntries', function (row) {
			var label = row.querySelector('.fieldLabel');
			return label && isPhone(label.textContent) ? row.querySelector('.fieldValue .value') : null;
		});
		mark('.headerAjaxEdit .value', function (value) {
			return isPhone((value.getAttribute('title') || '').split(' : ')[0]) ? value : null;
		});
	}

	/** vTiger's own phone links go to PBXManager; with this module they call by us. */
	function takeOverPhoneLinks() {
		if (typeof window.Vtiger_PBXManager_Js !== 'undefined' && boot.may_call) {
			window.Vtiger_PBXManager_Js.registerPBXOutboundCall = function (number, record) {
				call(String(number), String(record));
			};
		}
	}

	/* Incoming call. ------------------------------------------------------------------------------------------------ */

	/** Shown windows by call. */
	var windows = {};
	/** What rings here, as the CRM says it, by call. */
	var told = {};
	/** The same as the connector says it, while it is listened to; it knows of a call first, the CRM knows whose it is. */
	var heard = {};
	/** Calls that ring here no more by the connector's word; the CRM hears of that a moment later. */
	var over = {};

	function newRecordUrl(module, ringing) {
		var url = 'index.php?module=' + module + '&view=Edit&phone=' + encodeURIComponent(ringing.number);
		if (module === 'Contacts' || module === 'Leads') {
			url += '&mobile=' + encodeURIComponent(ringing.number);
		}
		return url + '&description=' + encodeURIComponent(ringing.did ? say('ON_LINE') + ' ' + ringing.did : '');
	}

	function showRinging(ringing) {
		// Before the CRM knows the call it cannot say that nobody knows the number.
		var title = ringing.name || (ringing.number ? (ringing.call ? say('UNKNOWN_CLIENT') : ringing.number) : say('HIDDEN_NUMBER'));
		var links = [];
		if (ringing.client) {
			links.push(make('a', {
				'class': 'btn btn-success btn-xs calls-open-card', text: say('OPEN_CARD'),
				href: 'index.php?module=' + encodeURIComponent(ringing.module) + '&view=Detail&record=' + ringing.client
			}));
		} else if (ringing.number && ringing.call) {
			var labels = { Leads: 'CREATE_LEAD', Contacts: 'CREATE_CONTACT', Accounts: 'CREATE_ACCOUNT' };
			(boot.may_create || []).forEach(function (module) {
				links.push(make('a', {
					'class': 'btn btn-default btn-xs calls-create', text: say(labels[module]), href: newRecordUrl(module, ringing)
				}));
			});
		}
		if (ringing.call) {
			links.push(make('a', {
				'class': 'btn btn-default btn-xs', text: say('OPEN_CALL'),
				href: 'index.php?module=Calls&view=Detail&record=' + ringing.call
			}));
		}
		var shown = make('div', { 'class': 'calls-popup', 'data-call': String(ringing.call || '') }, [
			make('div', { 'class': 'calls-popup-head', text: say('INCOMING') }),
			make('div', { 'class': 'calls-popup-name', text: title }),
			make('div', { 'class': 'calls-popup-number', text: ringing.number }),
			ringing.did ? make('div', { 'class': 'calls-popup-did', text: say('ON_LINE') + ' ' + ringing.did }) : null,
			make('div', { 'class': 'calls-popup-links' }, links),
			make('button', { type: 'button', 'class': 'close calls-popup-close', text: '\u00D7', click: function () {
				shown.style.display = 'none';
			} })
		]);
		return shown;
	}

	function showAllRinging() {
		var now = {};
		Object.keys(heard).forEach(function (key) {
			now[key] = heard[key];
		});
		Object.keys(told).forEach(function (key) {
			if (!over[key]) {
				now[key] = told[key];
			}
		});
		Object.keys(now).forEach(function (key) {
			var known = windows[key];
			if (known && (known.ringing.call || !now[key].call)) {
				return;
			}
			var element = showRinging(now[key]);
			if (known) {
				element.style.display = known.element.style.display;
				document.body.replaceChild(element, known.element);
			} else {
				document.body.appendChild(element);
			}
			windows[key] = { element: element, ringing: now[key] };
		});
		Object.keys(windows).forEach(function (key) {
			if (!now[key]) {
				document.body.removeChild(windows[key].element);
				delete windows[key];
			}
		});
	}

	/** What the CRM says rings here. */
	function tell(list) {
		told = {};
		list.forEach(function (ringing) {
			told[ringing.id || 'crm-' + ringing.call] = ringing;
		});
		Object.keys(over).forEach(function (key) {
			if (!told[key]) {
				delete over[key];
			}
		});
		var unheard = Object.keys(told).some(function (key) {
			return !heard[key] && !over[key];
		});
		if (unheard && isListening()) {
			// The connector always knows first: this stream is dead, or not all that rings here goes through it.
			stopListening();
			pauseDirect();
		}
		showAllRinging();
	}

	/* Incoming calls, directly from the connector, where the page may ask it. What is missed so the polling finds. -------- */

	var streams = [];

	function isListening() {
		return streams.length > 0 && streams.every(function (stream) {
			return stream.ready;
		});
	}

	function stopListening() {
		streams.forEach(function (stream) {
			window.clearTimeout(stream.timer);
			stream.source.close();
		});
		streams = [];
		heard = {};
		over = {};
	}

	function pauseKey() {
		return 'PinCalls.direct.' + bootKey();
	}

	/** The next try is after a pause, twice as long each time; kept for the next page, which would only fail the same way. */
	function pauseDirect() {
		try {
			var last = JSON.parse(sessionStorage.getItem(pauseKey())) || {};
			var ms = Math.min(last.ms ? last.ms * 2 : DIRECT_PAUSE_MS, DIRECT_PAUSE_MAX_MS);
			sessionStorage.setItem(pauseKey(), JSON.stringify({ ms: ms, until: Date.now() + ms }));
		} catch (refused) {
			boot.events = [];
		}
	}

	function isPaused() {
		try {
			return Date.now() < (JSON.parse(sessionStorage.getItem(pauseKey())) || { until: 0 }).until;
		} catch (refused) {
			return true;
		}
	}

	/** A page over https may not ask over http, and the connector answers pages of the origins it was told of only. */
	function mayAsk(link) {
		return typeof window.EventSource !== 'undefined' && link.origins.indexOf(window.location.origin) >= 0
			&& (window.location.protocol !== 'https:' || link.url.indexOf('https://') === 0);
	}

	function isMine(record, link) {
		var extension = String(record.extension || '').replace(/^.*\//, '');
		return extension === '' ? record.direction !== 'internal' && Boolean(record.phone)
			: link.extensions.indexOf(record.pbx + '/' + extension) >= 0;
	}

	function hear(record, link) {
		var rings = record.status === 'ringing' && !record.superseded_by && !record.click_to_call && record.direction !== 'outgoing'
			&& isMine(record, link);
		if (!rings) {
			if (heard[record.id] || told[record.id]) {
				over[record.id] = true;
			}
			delete heard[record.id];
		} else {
			delete over[record.id];
			if (!heard[record.id]) {
				pollIn(ENRICH_MS);
			}
			heard[record.id] = heard[record.id] || {
				id: record.id, call: 0, client: 0, module: '', since: Date.now(), name: record.client_name || '', did: record.did || '',
				number: record.client_number || (record.direction === 'internal' ? record.from || '' : '')
			};
		}
	}

	function openStream(link) {
		var stream = { ready: false, timer: 0, source: new window.EventSource(link.url) };
		function failed() {
			if (streams.indexOf(stream) < 0) {
				return;
			}
			var wasReady = stream.ready;
			stopListening();
			showAllRinging();
			if (wasReady) {
				// Its time was over, or the connector was started anew: with a fresh link at once.
				renewBoot();
			} else {
				pauseDirect();
				pollIn(POLL_MS);
			}
		}
		function alive(ms) {
			window.clearTimeout(stream.timer);
			stream.timer = window.setTimeout(failed, ms);
		}
		function on(name, work) {
			stream.source.addEventListener(name, function (event) {
				if (streams.indexOf(stream) < 0) {
					return;
				}
				alive(SILENT_STREAM_MS);
				work(JSON.parse(event.data));
			});
		}
		on('state', function (state) {
			stream.ready = true;
			try {
				sessionStorage.removeItem(pauseKey());
			} catch (refused) {
				// Without storage there was no pause either.
			}
			(state.calls || []).forEach(function (record) {
				hear(record, link);
			});
			showAllRinging();
		});
		on('call', function (record) {
			hear(record, link);
			showAllRinging();
		});
		on('beat', function () {
			return;
		});
		stream.source.addEventListener('error', failed);
		alive(CONNECT_MS);
		streams.push(stream);
	}

	/** Listens to every connector that may ring this user, or to none: half of them would be no reason to ask the CRM less often. */
	function listen() {
		var links = boot.events || [];
		if (streams.length || !links.length || !boot.popup || !links.every(mayAsk) || isPaused()) {
			return;
		}
		try {
			links.forEach(openStream);
		} catch (refused) {
			// A policy of the page (CSP) may say no at once.
			stopListening();
			pauseDirect();
		}
	}

	/* The bar. ------------------------------------------------------------------------------------------------------ */

	function showFaults(faults) {
		var bar = document.getElementById('calls-bar');
		if (!faults.length) {
			if (bar) {
				bar.parentNode.removeChild(bar);
			}
			return;
		}
		var text = faults.map(function (fault) {
			var since = new Date(fault.since * 1000);
			return say(fault.pbx ? 'BAR_PBX' : 'BAR_CONNECTOR') + ' «' + (fault.pbx || fault.connector) + '» ' + say('SINCE') + ' '
				+ since.toLocaleString();
		}).join('; ');
		if (!bar) {
			bar = make('div', { id: 'calls-bar' });
			document.body.appendChild(bar);
		}
		bar.textContent = text;
	}

	/* Polling. ------------------------------------------------------------------------------------------------------ */

	var pollTimer = 0;
	var stateAt = 0;

	function pollIn(ms) {
		window.clearTimeout(pollTimer);
		pollTimer = window.setTimeout(poll, ms);
	}

	function renewBoot() {
		forgetBoot();
		loadBoot(function (facts) {
			boot = facts;
			stopListening();
			if (boot.allowed) {
				pollIn(0);
			}
		});
	}

	/** Until the next question: while a call is heard of that the CRM does not know yet, not long. */
	function pause() {
		var unknown = Object.keys(heard).some(function (key) {
			return !told[key] && Date.now() - heard[key].since < ENRICH_WATCHED_MS;
		});
		return unknown ? ENRICH_MS : (isListening() ? QUIET_POLL_MS : POLL_MS);
	}

	function poll() {
		if (document.hidden) {
			// A browser opens few streams to one address, all its tabs together: those that nobody sees have none.
			stopListening();
			pollIn(POLL_MS);
			return;
		}
		listen();
		// While the connector is heard, each of the few questions asks whether the phone is still his, too.
		var withState = isListening() || Date.now() - stateAt >= STATE_EVERY_MS;
		if (withState) {
			stateAt = Date.now();
		}
		jQuery.ajax({
			// In a header: an address ends in the web server's log.
			url: LIVE_URL, dataType: 'json', timeout: 5000, headers: { 'X-Calls-Token': boot.token }, data: withState ? { state: 1 } : {}
		}).done(function (answer) {
			if (boot.popup) {
				tell(answer.ringing || []);
			}
			if (withState) {
				showFaults(answer.faults || []);
			}
			if (answer.whereabouts && answer.whereabouts !== boot.whereabouts) {
				// He sits elsewhere, or somebody sits here: what rings for him is another phone now.
				renewBoot();
				return;
			}
			pollIn(pause());
		}).fail(function (xhr) {
			if (xhr.status === 401) {
				renewBoot();
				return;
			}
			pollIn(POLL_MS * 10);
		});
	}

	/* My extension today. ------------------------------------------------------------------------------------------- */

	function seatText() {
		return say('SEAT') + ': ' + (boot.extension || say('SEAT_NONE'));
	}

	function seatTaken(result) {
		boot.seat = result.seat;
		boot.extension = result.seat ? result.seat.extension : '';
		renewBoot();
		var link = document.getElementById('calls-seat-link');
		if (link) {
			link.textContent = seatText();
		}
	}

	function askSeat() {
		var old = document.getElementById('calls-seat');
		if (old) {
			old.parentNode.removeChild(old);
			return;
		}
		var extension = make('input', {
			type: 'text', 'class': 'inputElement', id: 'calls-seat-extension', maxlength: '10', value: boot.extension || ''
		});
		var pbx = make('select', { id: 'calls-seat-pbx' }, [make('option', { value: '', text: say('SEAT_ANY_PBX') })].concat(
			(boot.pbxs || []).map(function (name) {
				return make('option', { value: name, text: name });
			})
		));
		var message = make('div', { 'class': 'calls-seat-message' });
		function done(error, result) {
			if (error) {
				message.textContent = say('SEAT_BAD');
				return;
			}
			seatTaken(result);
			message.textContent = result.taken_from ? say('SEAT_TAKEN_FROM') + ' ' + result.taken_from : '\u2713';
			if (!result.taken_from) {
				window.setTimeout(askSeat, 700);
			}
		}
		document.body.appendChild(make('div', { id: 'calls-seat', 'class': 'calls-box' }, [
			make('b', { text: say('SEAT_ASK') }),
			(boot.pbxs || []).length > 1 ? pbx : null, extension, message,
			make('button', { type: 'button', 'class': 'btn btn-success btn-xs', id: 'calls-seat-take', text: say('SEAT_TAKE'), click: function () {
				if (!/^\d{2,10}$/.test(extension.value)) {
					message.textContent = say('SEAT_BAD');
					return;
				}
				post('Seat', { mode: 'take', pbx: pbx.value, extension: extension.value }, done);
			} }),
			make('button', { type: 'button', 'class': 'btn btn-default btn-xs', text: say('SEAT_LEAVE'), click: function () {
				post('Seat', { mode: 'leave' }, done);
			} }),
			make('button', { type: 'button', 'class': 'btn btn-default btn-xs', text: say('CLOSE'), click: askSeat })
		]));
		extension.focus();
	}

	function offerSeat() {
		if (!boot.may_take) {
			return;
		}
		var menu = document.querySelector('#menubar_item_right_LBL_SIGN_OUT, a[href*="action=Logout"]');
		if (menu && !document.getElementById('calls-seat-link')) {
			var link = make('a', { id: 'calls-seat-link', href: 'javascript:void(0)', text: seatText(), click: function (event) {
				event.preventDefault();
				askSeat();
			} });
			var holder = menu.closest('.logout-footer, li, div') || menu.parentNode;
			holder.parentNode.insertBefore(make('div', { 'class': 'calls-seat-holder' }, [link]), holder);
			// The seat ends with the session; the module's cron does the same for those who just close the browser.
			menu.addEventListener('click', function () {
				forgetBoot();
				if (boot.seat && navigator.sendBeacon && window.csrfMagicToken) {
					var form = new FormData();
					[['module', 'Calls'], ['action', 'Seat'], ['mode', 'leave'], [window.csrfMagicName, window.csrfMagicToken]].forEach(function (pair) {
						form.append(pair[0], pair[1]);
					});
					navigator.sendBeacon('index.php', form);
				}
			});
		}
		// Once after login: whoever has no extension of his own is asked where he sits.
		var asked = 'PinCalls.asked.' + bootKey();
		try {
			if (!boot.extension && !sessionStorage.getItem(asked)) {
				sessionStorage.setItem(asked, '1');
				askSeat();
			}
		} catch (refused) {
			return;
		}
	}

	/* Follow-up. ---------------------------------------------------------------------------------------------------- */

	function closeFollowUp(record) {
		post('FollowUp', { record: record }, function (error) {
			if (error) {
				app.helper.showErrorNotification({ message: error.message || error.code });
				return;
			}
			app.helper.showSuccessNotification({ message: say('FOLLOW_UP_CLOSED') });
			if (document.getElementById('recordId')) {
				window.setTimeout(function () {
					window.location.reload();
				}, 500);
			} else {
				jQuery('[data-calls-follow-up="' + record + '"]').closest('tr').remove();
			}
		});
	}

	/* Start. -------------------------------------------------------------------------------------------------------- */

	function watchPage() {
		var waiting = 0;
		new MutationObserver(function () {
			window.clearTimeout(waiting);
			waiting = window.setTimeout(function () {
				markPhones(document);
			}, 150);
		}).observe(document.body, { childList: true, subtree: true });
		markPhones(document);
	}

	window.PinCalls = { call: call, closeFollowUp: closeFollowUp, askSeat: askSeat, isListening: isListening };

	jQuery(function () {
		if (typeof _USERMETA === 'undefined' && !document.getElementById('page')) {
			return;
		}
		document.head.appendChild(make('link', { rel: 'stylesheet', href: 'layouts/v7/modules/Calls/resources/Calls.css' }));
		// In the capturing phase: cells stop a click from going further, because a list opens the record of a clicked row.
		document.addEventListener('click', function (event) {
			var target = event.target.closest ? event.target.closest('.calls-play, [data-calls-follow-up]') : null;
			if (!target) {
				return;
			}
			event.preventDefault();
			event.stopPropagation();
			if (target.classList.contains('calls-play')) {
				play(target);
			} else {
				closeFollowUp(target.getAttribute('data-calls-follow-up'));
			}
		}, true);
		loadBoot(function (facts) {
			boot = facts;
			if (!boot.allowed) {
				return;
			}
			takeOverPhoneLinks();
			watchPage();
			offerSeat();
			document.addEventListener('visibilitychange', function () {
				pollIn(0);
			});
			poll();
		});
	});
}(jQuery));
