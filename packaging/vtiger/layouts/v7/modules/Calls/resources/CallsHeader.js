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
	var STATE_EVERY_POLLS = 30;
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
			var text = reason === 'deleted' ? say('DELETED') : (reason === 'not_allowed' ? say('not_allowed')
				: say('UNREACHABLE_RECORDING'));
			holder.appendChild(make('span', { 'class': 'calls-no-sound', text: ' ' + text }));
		});
	}

	function play(button) {
		var holder = button.parentNode;
		var url = holder.getAttribute('data-calls-recording');
		var audio = make('audio', { controls: 'controls', preload: 'metadata', src: url, 'class': 'calls-audio' });
		audio.addEventListener('error', function () {
			holder.removeChild(audio);
			whyNoSound(holder, url);
		});
		Array.prototype.forEach.call(document.querySelectorAll('audio.calls-audio'), function (other) {
			other.pause();
		});
		holder.replaceChild(audio, button);
		var started = audio.play();
		if (started && started['catch']) {
			started['catch'](function () {
				// The error event tells what there is to tell.
			});
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

	function markPhones(root) {
		if (!boot || !boot.may_call) {
			return;
		}
		var cells = root.querySelectorAll('[data-field-type="phone"], [data-name] .phoneField');
		Array.prototype.forEach.call(cells, function (cell) {
			if (cell.getAttribute('data-calls') || cell.closest('.editElement, .searchRow, #calls-box')) {
				return;
			}
			cell.setAttribute('data-calls', '1');
			var number = (cell.textContent || '').trim();
			if (!/\d{2}/.test(number)) {
				return;
			}
			var icon = make('a', {
				'class': 'calls-call', href: 'javascript:void(0)', title: say('CALL'), text: ' \u260E',
				click: function (event) {
					event.preventDefault();
					event.stopPropagation();
					call(number, recordOf(cell));
				}
			});
			var place = cell.querySelector('.value') || cell;
			place.appendChild(icon);
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

	var windows = {};

	function newRecordUrl(module, ringing) {
		var url = 'index.php?module=' + module + '&view=Edit&phone=' + encodeURIComponent(ringing.number);
		if (module === 'Contacts' || module === 'Leads') {
			url += '&mobile=' + encodeURIComponent(ringing.number);
		}
		return url + '&description=' + encodeURIComponent(ringing.did ? say('ON_LINE') + ' ' + ringing.did : '');
	}

	function showRinging(ringing) {
		var title = ringing.name || (ringing.number ? say('UNKNOWN_CLIENT') : say('HIDDEN_NUMBER'));
		var links = [];
		if (ringing.client) {
			links.push(make('a', {
				'class': 'btn btn-success btn-xs calls-open-card', text: say('OPEN_CARD'),
				href: 'index.php?module=' + encodeURIComponent(ringing.module) + '&view=Detail&record=' + ringing.client
			}));
		} else if (ringing.number) {
			var labels = { Leads: 'CREATE_LEAD', Contacts: 'CREATE_CONTACT', Accounts: 'CREATE_ACCOUNT' };
			(boot.may_create || []).forEach(function (module) {
				links.push(make('a', {
					'class': 'btn btn-default btn-xs calls-create', text: say(labels[module]), href: newRecordUrl(module, ringing)
				}));
			});
		}
		links.push(make('a', {
			'class': 'btn btn-default btn-xs', text: say('OPEN_CALL'),
			href: 'index.php?module=Calls&view=Detail&record=' + ringing.call
		}));
		return make('div', { 'class': 'calls-popup', 'data-call': String(ringing.call) }, [
			make('div', { 'class': 'calls-popup-head', text: say('INCOMING') }),
			make('div', { 'class': 'calls-popup-name', text: title }),
			make('div', { 'class': 'calls-popup-number', text: ringing.number }),
			ringing.did ? make('div', { 'class': 'calls-popup-did', text: say('ON_LINE') + ' ' + ringing.did }) : null,
			make('div', { 'class': 'calls-popup-links' }, links),
			make('button', { type: 'button', 'class': 'close calls-popup-close', text: '\u00D7', click: function () {
				windows[ringing.call].style.display = 'none';
			} })
		]);
	}

	function showAllRinging(list) {
		var now = {};
		list.forEach(function (ringing) {
			now[ringing.call] = true;
			if (!windows[ringing.call]) {
				windows[ringing.call] = showRinging(ringing);
				document.body.appendChild(windows[ringing.call]);
			}
		});
		Object.keys(windows).forEach(function (id) {
			if (!now[id]) {
				document.body.removeChild(windows[id]);
				delete windows[id];
			}
		});
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

	var polls = 0;

	function poll() {
		if (document.hidden) {
			window.setTimeout(poll, POLL_MS);
			return;
		}
		var withState = polls % STATE_EVERY_POLLS === 0;
		polls += 1;
		jQuery.ajax({
			// In a header: an address ends in the web server's log.
			url: LIVE_URL, dataType: 'json', timeout: 5000, headers: { 'X-Calls-Token': boot.token }, data: withState ? { state: 1 } : {}
		}).done(function (answer) {
			if (boot.popup) {
				showAllRinging(answer.ringing || []);
			}
			if (withState) {
				showFaults(answer.faults || []);
			}
			window.setTimeout(poll, POLL_MS);
		}).fail(function (xhr) {
			if (xhr.status === 401) {
				forgetBoot();
				loadBoot(function (facts) {
					boot = facts;
					if (boot.allowed) {
						window.setTimeout(poll, POLL_MS);
					}
				});
				return;
			}
			window.setTimeout(poll, POLL_MS * 10);
		});
	}

	/* My extension today. ------------------------------------------------------------------------------------------- */

	function seatText() {
		return say('SEAT') + ': ' + (boot.extension || say('SEAT_NONE'));
	}

	function seatTaken(result) {
		boot.seat = result.seat;
		boot.extension = result.seat ? result.seat.extension : '';
		forgetBoot();
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

	function style() {
		document.head.appendChild(make('link', { rel: 'stylesheet', href: 'layouts/v7/modules/Calls/resources/Calls.css' }));
	}

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

	window.PinCalls = { call: call, closeFollowUp: closeFollowUp, askSeat: askSeat };

	jQuery(function () {
		if (typeof _USERMETA === 'undefined' && !document.getElementById('page')) {
			return;
		}
		style();
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
			poll();
		});
	});
}(jQuery));
