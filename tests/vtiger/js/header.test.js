/** CallsHeader.js on a page of our own. Prints each test, ends with 1 if one failed. */
'use strict';

const assert = require('assert');
const { Page, Element } = require('./page.js');

const HOSTILE = '"><script>alert(1)</script>';
const STRINGS = {};
['queued', 'agent_ringing', 'customer_ringing', 'done', 'failed', 'refused', 'cancelled', 'forbidden_number', 'INCOMING', 'UNKNOWN_CLIENT', 'HIDDEN_NUMBER', 'ON_LINE',
	'BAR_PBX', 'BAR_CONNECTOR', 'SINCE', 'SEAT', 'SEAT_NONE', 'DELETED', 'RECORDING', 'UNREACHABLE_RECORDING'].forEach((key) => { STRINGS['JS_CALLS_' + key] = '<' + key + '>'; });

function facts(more) {
	return Object.assign({ allowed: true, token: 't1', may_call: true, may_take: false, may_create: ['Leads', 'Contacts'], extension: '101', seat: null, pbxs: ['msk'],
		strings: STRINGS, popup: true }, more);
}

const LINK = { url: 'http://pbx:8383/api/v1/events?key=v', origins: ['http://crm.example.ru'], extensions: ['msk/101'] };
const DIRECT = { events: [LINK] };
const RINGS = { id: 'msk-1.1-1', pbx: 'msk', direction: 'incoming', status: 'ringing', extension: '101', client_number: '+79161234567' };

function page(answers, more) {
	return new Page(Object.assign({ Boot: { success: true, result: facts(more) }, live: { ringing: [], faults: [] } }, answers));
}

const tests = {
	'the facts are asked once in five minutes, not by every page'() {
		const first = page().load();
		assert.strictEqual(first.asked('Boot').length, 1);
		const second = page();
		second.storage = first.storage;
		second.now = first.now + 299000;
		second.load();
		assert.strictEqual(second.asked('Boot').length, 0);
		const third = page();
		third.storage = first.storage;
		third.now = first.now + 301000;
		third.load();
		assert.strictEqual(third.asked('Boot').length, 1);
	},

	'who may not see calls asks nothing more'() {
		const one = page({}, { allowed: false }).load();
		one.pass(10000);
		assert.strictEqual(one.asked('live').length, 0);
	},

	'a visible page asks once a second, a hidden one not at all'() {
		const one = page().load();
		one.pass(10000);
		const asked = one.asked('live').length;
		assert.ok(asked >= 10 && asked <= 11, String(asked));
		one.hidden = true;
		one.pass(10000);
		assert.strictEqual(one.asked('live').length, asked);
		one.hidden = false;
		one.pass(2000);
		assert.ok(one.asked('live').length > asked);
	},

	'the state of telephony is asked for twice a minute'() {
		const one = page().load();
		one.pass(60000);
		assert.strictEqual(one.asked('live').filter((request) => request.data.state === 1).length, 3);
	},

	'a token that is too old is renewed'() {
		let renewed = false;
		const one = page({ live: (data, token) => (token === 't1' ? { status: 401 } : { ringing: [] }), Boot: () => ({ success: true, result: facts({ token: renewed ? 't2' : 't1' }) }) });
		one.load();
		renewed = true;
		one.pass(5000);
		assert.ok(one.asked('live').some((request) => request.token === 't2'));
	},

	'a CRM that does not answer is not pestered'() {
		const one = page({ live: { status: 503 } }).load();
		one.pass(30000);
		assert.ok(one.asked('live').length <= 4, String(one.asked('live').length));
	},

	'a ringing call shows its window, and its end takes it away'() {
		let ringing = [{ call: 7, number: '+79161234567', name: 'Иван', did: '+7495', client: 12, module: 'Contacts' }];
		const one = page({ live: () => ({ ringing: ringing }) }).load();
		const shown = one.find('.calls-popup');
		assert.ok(shown.textContent.includes('Иван') && shown.textContent.includes('+79161234567'));
		assert.strictEqual(one.find('.calls-open-card').getAttribute('href'), 'index.php?module=Contacts&view=Detail&record=12');
		assert.strictEqual(one.find('.calls-create'), null);
		one.pass(5000);
		assert.strictEqual(one.html.querySelectorAll('.calls-popup').length, 1, 'once, however often it is told');
		ringing = [];
		one.pass(1000);
		assert.strictEqual(one.find('.calls-popup'), null);
	},

	'an unknown caller can be created, a hidden one cannot'() {
		const one = page({ live: { ringing: [{ call: 7, number: '+7 916&x=1', name: '', did: '', client: 0, module: '' }, { call: 8, number: '', name: '', did: '', client: 0, module: '' }] } }).load();
		const links = one.html.querySelectorAll('.calls-create').map((link) => link.getAttribute('href'));
		assert.strictEqual(links.length, 2, 'only what this user may create');
		assert.ok(links[0].includes('phone=%2B7%20916%26x%3D1'), links[0]);
		assert.ok(one.body.textContent.includes('<HIDDEN_NUMBER>'));
	},

	'what came from the network is text'() {
		const one = page({ live: { ringing: [{ call: 7, number: HOSTILE, name: HOSTILE, did: HOSTILE, client: 0, module: '' }], faults: [{ connector: HOSTILE, pbx: '', since: 1 }] } }).load();
		assert.strictEqual(one.html.all().filter((element) => element.tag === 'script').length, 0);
		assert.ok(one.find('.calls-popup-name').text === HOSTILE && one.find('#calls-bar').text.includes(HOSTILE));
	},

	'no windows where the administrator switched them off'() {
		const one = page({ live: { ringing: [{ call: 7, number: '1', name: '', did: '', client: 0, module: '' }] } }, { popup: false }).load();
		assert.strictEqual(one.find('.calls-popup'), null);
	},

	'the bar comes and goes with the fault'() {
		let faults = [{ connector: 'Office', pbx: 'msk', since: 1795341600 }];
		const one = page({ live: () => ({ ringing: [], faults: faults }) }).load();
		assert.ok(one.find('#calls-bar').textContent.startsWith('<BAR_PBX> «msk»'));
		faults = [];
		one.pass(31000);
		assert.strictEqual(one.find('#calls-bar'), null);
	},

	'a click calls, shows how it goes, and stops asking at the end'() {
		let state = 'agent_ringing';
		const one = page({
			'ClickToCall/place': { success: true, result: { request: 'r1', state: 'queued', reason: '' } },
			'ClickToCall/state': () => ({ success: true, result: { request: 'r1', state: state, reason: '' } })
		}).load();
		one.window.PinCalls.call('+79161234567', '12');
		assert.deepStrictEqual(JSON.parse(JSON.stringify(one.asked('ClickToCall/place')[0].data)), { module: 'Calls', action: 'ClickToCall', mode: 'place', number: '+79161234567', record: '12' });
		assert.ok(one.find('#calls-box').textContent.includes('<queued>'));
		one.pass(1000);
		assert.ok(one.find('#calls-box').textContent.includes('<agent_ringing>'));
		state = 'done';
		one.pass(1000);
		assert.ok(one.find('#calls-box').textContent.includes('<done>'));
		const asked = one.asked('ClickToCall/state').length;
		one.pass(3000);
		assert.strictEqual(one.asked('ClickToCall/state').length, asked);
		one.pass(2000);
		assert.strictEqual(one.find('#calls-box'), null, 'goes away by itself');
	},

	'a refusal says why, in words or else as it came'() {
		const one = page({ 'ClickToCall/place': { success: true, result: { request: '', state: 'refused', reason: 'forbidden_number' } } }).load();
		one.window.PinCalls.call('8900', '');
		assert.ok(one.find('#calls-box').textContent.includes('<refused>: <forbidden_number>'));
		assert.strictEqual(one.find('.calls-cancel').style.display, 'none');
		one.answers['ClickToCall/place'] = { success: true, result: { request: '', state: 'refused', reason: 'solar_flare' } };
		one.window.PinCalls.call('8900', '');
		assert.ok(one.find('#calls-box').textContent.includes('<refused>: solar_flare'));
		assert.strictEqual(one.html.querySelectorAll('#calls-box').length, 1);
	},

	'cancel asks for that very call'() {
		const one = page({
			'ClickToCall/place': { success: true, result: { request: 'r9', state: 'queued', reason: '' } },
			'ClickToCall/state': { success: true, result: { request: 'r9', state: 'queued', reason: '' } },
			'ClickToCall/cancel': { success: true, result: { request: 'r9', state: 'failed', reason: 'cancelled' } }
		}).load();
		one.window.PinCalls.call('89161234567', '');
		one.click(one.find('.calls-cancel'));
		assert.strictEqual(one.asked('ClickToCall/cancel')[0].data.request, 'r9');
		assert.ok(one.find('#calls-box').textContent.includes('<failed>: <cancelled>'));
	},

	'phone numbers get one telephone each, search fields none'() {
		const one = page({ 'ClickToCall/place': { success: true, result: { request: '', state: 'refused', reason: '' } } });
		const row = one.body.appendChild(new Element('tr'));
		row.setAttribute('data-id', '77');
		const cell = row.appendChild(new Element('td'));
		cell.setAttribute('data-field-type', 'phone');
		cell.textContent = '8 (916) 123-45-67';
		const search = one.body.appendChild(new Element('tr'));
		search.setAttribute('class', 'searchRow');
		const field = search.appendChild(new Element('td'));
		field.setAttribute('data-field-type', 'phone');
		field.textContent = '8 916';
		const empty = row.appendChild(new Element('td'));
		empty.setAttribute('data-field-type', 'phone');
		one.load();
		assert.strictEqual(one.html.querySelectorAll('.calls-call').length, 1);
		one.click(one.find('.calls-call'));
		const sent = one.asked('ClickToCall/place')[0].data;
		assert.deepStrictEqual([sent.number, sent.record], ['8 (916) 123-45-67', '77']);
	},

	'numbers in the head and the summary of a record get a telephone, by field or by label'() {
		const one = page({}, { phone_labels: { Contacts: ['Office Phone'], Leads: ['Other'] } });
		one.module = 'Contacts';
		const put = (parent, tag, kind, text) => {
			const element = parent.appendChild(new Element(tag));
			element.setAttribute('class', kind);
			element.textContent = text;
			return element;
		};
		const summary = (label, text) => {
			const row = put(one.body, 'tr', 'summaryViewEntries', '');
			put(row, 'td', 'fieldLabel', label);
			return put(put(row, 'td', 'fieldValue', ''), 'span', 'value', text);
		};
		const head = (title) => {
			const value = put(put(put(one.body, 'div', 'headerAjaxEdit', ''), 'div', 'fieldLabel', ''), 'span', 'value', '89161234567');
			value.setAttribute('title', title);
			return value;
		};
		const mayChange = head('Fax : 89161234567');
		const input = put(mayChange.parentNode, 'input', 'fieldBasicData', '');
		input.setAttribute('data-type', 'phone');
		const phones = [summary(' Office Phone ', '8 916 123-45-67'), head('Office Phone : 89161234567'), mayChange];
		const others = [summary('Amount', '8916'), head('Other : 89161234567'), summary('Office Phone', '')];
		one.load();
		phones.forEach((place) => assert.strictEqual(place.querySelectorAll('.calls-call').length, 1));
		others.forEach((place) => assert.strictEqual(place.querySelector('.calls-call'), null));
	},

	'who may not call sees no telephones'() {
		const one = page({}, { may_call: false });
		const cell = one.body.appendChild(new Element('td'));
		cell.setAttribute('data-field-type', 'phone');
		cell.textContent = '89161234567';
		one.load();
		assert.strictEqual(one.find('.calls-call'), null);
	},

	'the player plays in place and stops the other'() {
		const one = page();
		const holders = [1, 2].map((number) => {
			const holder = one.body.appendChild(new Element('span'));
			holder.setAttribute('data-calls-recording', 'index.php?record=' + number);
			holder.appendChild(new Element('button')).setAttribute('class', 'btn calls-play');
			return holder;
		});
		one.load();
		one.click(holders[0].querySelector('.calls-play'));
		const first = holders[0].querySelector('audio');
		assert.ok(first.playing && first.getAttribute('src') === 'index.php?record=1');
		one.click(holders[1].querySelector('.calls-play'));
		assert.ok(first.paused);
		assert.strictEqual(holders[0].querySelector('audio'), first, 'on a card it stays where it was stopped');
	},

	'a row of a list gets its button back when its sound ends or another plays'() {
		const one = page();
		const cells = [1, 2].map((number) => {
			const cell = one.body.appendChild(new Element('td'));
			cell.setAttribute('class', number === 1 ? 'listViewEntryValue' : 'relatedListEntryValues');
			const holder = cell.appendChild(new Element('span'));
			holder.setAttribute('data-calls-recording', 'index.php?record=' + number);
			holder.appendChild(new Element('button')).setAttribute('class', 'btn calls-play');
			return cell;
		});
		one.load();
		cells.forEach((cell) => one.click(cell.querySelector('.calls-play')));
		assert.ok(cells[0].querySelector('.calls-play') && !cells[0].querySelector('audio') && !cells[1].querySelector('.calls-play'));
		cells[1].querySelector('audio').listeners.ended.forEach((listener) => listener());
		assert.ok(cells[1].querySelector('.calls-play') && !cells[1].querySelector('audio'));
	},

	'a recording that cannot be heard says why'() {
		const one = page({ 'index.php?record=1': { status: 410, getResponseHeader: () => 'deleted' } });
		const holder = one.body.appendChild(new Element('span'));
		holder.setAttribute('data-calls-recording', 'index.php?record=1');
		holder.appendChild(new Element('button')).setAttribute('class', 'calls-play');
		one.load();
		one.click(holder.querySelector('.calls-play'));
		holder.querySelector('audio').listeners.error[0]();
		assert.ok(holder.textContent.includes('<DELETED>'), holder.textContent);
		assert.strictEqual(holder.querySelector('audio'), null);
	},

	'a page that the connector answers hears from it, and asks the CRM only now and then'() {
		const one = page({}, DIRECT).load();
		assert.deepStrictEqual(one.streams.map((stream) => stream.url), [LINK.url]);
		one.streams[0].say('state', { calls: [] });
		one.pass(1000);
		const asked = one.asked('live').length;
		for (let beats = 0; beats < 6; beats += 1) {
			one.streams[0].say('beat', {});
			one.pass(10000);
		}
		assert.ok(one.asked('live').length - asked <= 4, String(one.asked('live').length - asked));
		assert.strictEqual(one.streams.length, 1);
	},

	'a call shows at once, and gets its name and links when the CRM knows it'() {
		let ringing = [];
		const one = page({ live: () => ({ ringing: ringing }) }, DIRECT).load();
		one.streams[0].say('state', { calls: [] });
		one.pass(2000);
		one.streams[0].say('call', RINGS);
		assert.ok(one.find('.calls-popup').textContent.includes('+79161234567'), 'without any time passing');
		assert.strictEqual(one.html.querySelectorAll('.calls-create').length, 0, 'nobody knows yet that it is nobody');
		ringing = [{ call: 7, id: RINGS.id, number: '+79161234567', name: 'Иван', did: '', client: 12, module: 'Contacts' }];
		one.pass(300);
		assert.strictEqual(one.html.querySelectorAll('.calls-popup').length, 1);
		assert.ok(one.find('.calls-popup').textContent.includes('Иван') && one.find('.calls-open-card'));
		one.streams[0].say('call', Object.assign({}, RINGS, { status: 'no_answer' }));
		assert.strictEqual(one.find('.calls-popup'), null, 'though the CRM has not heard of the end yet');
		one.pass(20000);
		assert.strictEqual(one.find('.calls-popup'), null);
	},

	'what rings already is seen by a page that opens'() {
		const one = page({}, DIRECT).load();
		one.streams[0].say('state', { calls: [RINGS, Object.assign({}, RINGS, { id: 'x-2', status: 'in_progress' })] });
		assert.strictEqual(one.html.querySelectorAll('.calls-popup').length, 1);
	},

	'what I dial or who is called from here is no window'() {
		const one = page({}, DIRECT).load();
		one.streams[0].say('state', { calls: [] });
		[{ direction: 'outgoing' }, { click_to_call: true }, { direction: 'internal', from: '101', extension: '102' }, { superseded_by: 'y' }, { extension: 'spb/101' },
			{ pbx: 'spb' }].forEach((change) => one.streams[0].say('call', Object.assign({}, RINGS, change)));
		assert.strictEqual(one.find('.calls-popup'), null);
		one.streams[0].say('call', Object.assign({}, RINGS, { direction: 'internal', from: '102', extension: 'msk/101', client_number: undefined }));
		assert.ok(one.find('.calls-popup').textContent.includes('102'));
	},

	'a name from the network is text here, too'() {
		const one = page({}, DIRECT).load();
		one.streams[0].say('state', { calls: [Object.assign({}, RINGS, { client_name: HOSTILE, client_number: HOSTILE, did: HOSTILE })] });
		assert.strictEqual(one.find('.calls-popup-name').text, HOSTILE);
		assert.strictEqual(one.html.all().filter((element) => element.tag === 'script').length, 0);
	},

	'a page of another origin, or over https towards http, does not try'() {
		[['https://crm.example.ru', 'http://pbx:8383/e', ['https://crm.example.ru']], ['http://crm.example.ru', 'http://pbx:8383/e', ['http://other.example.ru']],
			['http://crm.example.ru', 'http://pbx:8383/e', []]].forEach(([origin, url, origins]) => {
			const one = page({}, { events: [{ url: url, origins: origins, extensions: ['msk/101'] }] });
			one.origin = origin;
			one.load();
			one.pass(10000);
			assert.strictEqual(one.streams.length, 0);
			assert.ok(one.asked('live').length >= 10);
		});
		const secure = page({}, { events: [{ url: 'https://pbx/e', origins: ['https://crm.example.ru'], extensions: [] }] });
		secure.origin = 'https://crm.example.ru';
		secure.load();
		assert.strictEqual(secure.streams.length, 1);
	},

	'a connector that refuses is asked again after a longer and longer pause, and the CRM meanwhile once a second'() {
		const one = page({}, DIRECT).load();
		one.streams[0].listeners.error();
		one.pass(30000);
		assert.strictEqual(one.streams.length, 1);
		assert.ok(one.asked('live').length >= 29, String(one.asked('live').length));
		one.pass(35000);
		assert.strictEqual(one.streams.length, 2);
		one.streams[1].listeners.error();
		one.pass(100000);
		assert.strictEqual(one.streams.length, 2, 'twice as long');
		const next = page({}, DIRECT);
		next.storage = one.storage;
		next.now = one.now;
		next.load();
		assert.strictEqual(next.streams.length, 0, 'the next page would only fail the same way');
	},

	'an address that answers nothing is given up'() {
		const one = page({}, DIRECT).load();
		one.pass(11000);
		assert.deepStrictEqual([one.streams.length, one.open().length], [1, 0]);
		assert.ok(one.asked('live').length >= 10, 'and the CRM was asked all the time');
	},

	'a policy of the page that forbids it is lived with'() {
		const one = page({}, DIRECT);
		one.opening = () => { throw new Error('SecurityError'); };
		one.load();
		one.pass(5000);
		assert.ok(one.asked('live').length >= 5);
	},

	'a stream that ends is opened anew with a fresh link'() {
		let url = LINK.url;
		const one = page({ Boot: () => ({ success: true, result: facts({ events: [Object.assign({}, LINK, { url: url })] }) }) }).load();
		one.streams[0].say('state', { calls: [RINGS] });
		url = 'http://pbx:8383/api/v1/events?again';
		one.streams[0].listeners.error();
		assert.strictEqual(one.find('.calls-popup'), null);
		one.pass(10);
		assert.strictEqual(one.open()[0].url, url);
		one.open()[0].say('state', { calls: [RINGS] });
		assert.ok(one.find('.calls-popup'));
	},

	'a stream that says nothing any more, or less than the CRM, is not trusted'() {
		const silent = page({}, DIRECT).load();
		silent.streams[0].say('state', { calls: [] });
		silent.pass(52000);
		assert.strictEqual(silent.streams[0].closed, true);
		const deaf = page({ live: () => ({ ringing: [{ call: 7, id: 'msk-2.1-1', number: '1', name: '', did: '', client: 0, module: '' }] }) }, DIRECT).load();
		deaf.streams[0].say('state', { calls: [] });
		deaf.pass(16000);
		assert.ok(deaf.streams[0].closed && deaf.find('.calls-popup'));
	},

	'a page that nobody sees has no stream'() {
		const one = page({}, DIRECT).load();
		one.streams[0].say('state', { calls: [] });
		one.show(false);
		one.pass(1000);
		assert.strictEqual(one.open().length, 0);
		one.show(true);
		one.pass(10);
		assert.strictEqual(one.open().length, 1);
	},

	'several connectors are heard, or none'() {
		const one = page({}, { events: [LINK, { url: 'http://two/e', origins: [], extensions: [] }] }).load();
		assert.strictEqual(one.streams.length, 0);
		const both = page({}, { events: [LINK, { url: 'http://two/e', origins: LINK.origins, extensions: ['spb/205'] }] }).load();
		both.streams[0].say('state', { calls: [] });
		both.pass(5000);
		assert.ok(both.asked('live').length >= 5, 'one of two is no reason to ask less');
		both.streams[1].say('state', { calls: [] });
		both.streams[1].say('call', Object.assign({}, RINGS, { id: 'spb-1.1-1', pbx: 'spb', extension: '205' }));
		assert.ok(both.find('.calls-popup'));
	},

	'who sits elsewhere hears another phone'() {
		let where = 'a';
		const one = page({ live: (data) => (data.state ? { ringing: [], faults: [], whereabouts: where } : { ringing: [] }),
			Boot: () => ({ success: true, result: facts({ whereabouts: where, events: [Object.assign({}, LINK, { url: 'http://pbx/' + where })] }) }) }).load();
		one.streams[0].say('state', { calls: [] });
		where = 'b';
		one.pass(5000);
		assert.strictEqual(one.streams[0].closed, true);
		assert.strictEqual(one.open()[0].url, 'http://pbx/b');
	},

	'a closed follow-up is asked for by its record'() {
		const one = page({ FollowUp: { success: false, error: { code: 'not_open' } } });
		const button = one.body.appendChild(new Element('button'));
		button.setAttribute('data-calls-follow-up', '55');
		one.load();
		one.click(button);
		assert.strictEqual(one.asked('FollowUp')[0].data.record, '55');
	}
};

let failed = 0;
Object.keys(tests).forEach((name) => {
	try {
		tests[name]();
		console.log('ok      ' + name);
	} catch (fault) {
		failed += 1;
		console.log('FAILED  ' + name + ': ' + fault.stack);
	}
});
console.log((Object.keys(tests).length - failed) + ' passed, ' + failed + ' failed');
process.exit(failed === 0 ? 0 : 1);
