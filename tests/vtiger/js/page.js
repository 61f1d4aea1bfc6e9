/**
 * A page small enough to see through: as much DOM, jQuery and clock as CallsHeader.js asks of a browser, and a CRM that answers what
 * the test says. Timers run when the test lets them.
 */
'use strict';

const fs = require('fs');
const path = require('path');
const vm = require('vm');

const SOURCE = path.join(__dirname, '../../../packaging/vtiger/layouts/v7/modules/Calls/resources/CallsHeader.js');

class Element {
	constructor(tag) {
		this.tag = tag;
		this.attributes = {};
		this.children = [];
		this.parentNode = null;
		this.style = {};
		this.listeners = {};
		this.text = '';
		this.value = '';
	}

	get textContent() {
		return this.text + this.children.map((child) => child.textContent).join('');
	}

	set textContent(text) {
		this.text = String(text);
		this.children = [];
	}

	get classList() {
		return { contains: (name) => (this.attributes.class || '').split(' ').includes(name) };
	}

	setAttribute(name, value) {
		this.attributes[name] = String(value);
		if (name === 'value') {
			this.value = String(value);
		}
	}

	getAttribute(name) {
		return name in this.attributes ? this.attributes[name] : null;
	}

	addEventListener(name, listener) {
		(this.listeners[name] = this.listeners[name] || []).push(listener);
	}

	appendChild(child) {
		child.parentNode = this;
		this.children.push(child);
		return child;
	}

	insertBefore(child, before) {
		child.parentNode = this;
		this.children.splice(this.children.indexOf(before), 0, child);
	}

	removeChild(child) {
		this.children = this.children.filter((one) => one !== child);
		child.parentNode = null;
	}

	replaceChild(child, old) {
		child.parentNode = this;
		this.children[this.children.indexOf(old)] = child;
		old.parentNode = null;
	}

	focus() {
		this.focused = true;
	}

	pause() {
		this.paused = true;
	}

	play() {
		this.playing = true;
	}

	matches(selector) {
		return selector.split(',').some((one) => this.matchesChain(one.trim().split(/\s+/)));
	}

	matchesChain(chain) {
		if (!this.matchesOne(chain[chain.length - 1])) {
			return false;
		}
		if (chain.length === 1) {
			return true;
		}
		for (let up = this.parentNode; up; up = up.parentNode) {
			if (up.matchesChain(chain.slice(0, -1))) {
				return true;
			}
		}
		return false;
	}

	matchesOne(compound) {
		const parts = compound.match(/^[\w-]+|#[\w-]+|\.[\w-]+|\[[^\]]+\]/g) || [];
		return parts.every((part) => {
			if (part[0] === '#') {
				return this.attributes.id === part.slice(1);
			}
			if (part[0] === '.') {
				return this.classList.contains(part.slice(1));
			}
			if (part[0] === '[') {
				const [, name, operator, value] = part.match(/^\[([\w-]+)(?:([*$]?=)"?([^"\]]*)"?)?\]$/);
				const have = this.getAttribute(name);
				return have !== null && (!operator || (operator === '=' ? have === value : have.includes(value)));
			}
			return this.tag === part;
		});
	}

	closest(selector) {
		return this.matches(selector) ? this : (this.parentNode ? this.parentNode.closest(selector) : null);
	}

	all() {
		return this.children.reduce((found, child) => found.concat([child], child.all()), []);
	}

	querySelectorAll(selector) {
		return this.all().filter((element) => element.matches(selector));
	}

	querySelector(selector) {
		return this.querySelectorAll(selector)[0] || null;
	}
}

class Page {
	/** @param answers by `action/mode`, `Boot` or `live`: a value, or a function of the request's data */
	constructor(answers) {
		this.answers = answers;
		this.requests = [];
		this.timers = [];
		this.now = 1000000;
		this.html = new Element('html');
		this.head = this.html.appendChild(new Element('head'));
		this.body = this.html.appendChild(new Element('body'));
		this.hidden = false;
		this.captured = [];
		this.watchers = [];
		this.streams = [];
		this.origin = 'http://crm.example.ru';
		/** What `new EventSource` does with an address before it is given back; may throw. */
		this.opening = () => { return; };
		this.storage = {};
		this.beacons = [];
	}

	load() {
		const page = this;
		const document = {
			head: this.head,
			body: this.body,
			createElement: (tag) => new Element(tag),
			getElementById: (id) => this.html.querySelector('#' + id),
			querySelector: (selector) => this.html.querySelector(selector),
			querySelectorAll: (selector) => this.html.querySelectorAll(selector),
			addEventListener: (name, listener) => (name === 'click' ? this.captured : this.watchers).push(listener),
			get hidden() {
				return page.hidden;
			}
		};
		const jQuery = (ready) => ready();
		jQuery.extend = Object.assign;
		jQuery.ajax = (request) => this.ajax(request);
		this.window = {
			setTimeout: (work, ms) => this.timers.push({ at: this.now + (ms || 0), work: work }),
			clearTimeout: (id) => {
				if (this.timers[id - 1]) {
					this.timers[id - 1].work = null;
				}
			},
			location: { reload: () => { this.reloaded = true; }, origin: this.origin, protocol: this.origin.replace(/\/.*/, '') },
			EventSource: class {
				constructor(url) {
					page.opening(url);
					this.url = url;
					this.listeners = {};
					this.closed = false;
					page.streams.push(this);
				}

				addEventListener(name, listener) {
					this.listeners[name] = listener;
				}

				close() {
					this.closed = true;
				}

				/** The connector says something. */
				say(name, data) {
					if (!this.closed) {
						this.listeners[name]({ data: JSON.stringify(data) });
					}
				}
			}
		};
		const storage = {
			getItem: (key) => (key in this.storage ? this.storage[key] : null),
			setItem: (key, value) => { this.storage[key] = value; },
			removeItem: (key) => { delete this.storage[key]; }
		};
		vm.runInNewContext(fs.readFileSync(SOURCE, 'utf8'), {
			window: this.window, document: document, jQuery: jQuery, sessionStorage: storage, _USERMETA: { id: '6' },
			MutationObserver: class { observe() { return; } }, Date: class extends Date { static now() { return page.now; } }, navigator: {}, FormData: Map,
			app: { getModuleName: () => this.module || 'Calls', helper: { showErrorNotification: () => { return; }, showSuccessNotification: () => { return; } } }
		});
		return this;
	}

	ajax(request) {
		const data = request.data || {};
		const name = request.url.indexOf('live.php') >= 0 ? 'live'
			: (request.url.indexOf('action=Boot') >= 0 ? 'Boot' : (data.action || request.url) + (data.mode ? '/' + data.mode : ''));
		this.requests.push({ name: name, data: data, token: (request.headers || {})['X-Calls-Token'] });
		const given = this.answers[name];
		const answer = typeof given === 'function' ? given(data, (request.headers || {})['X-Calls-Token']) : given;
		const failed = answer === undefined || (answer && answer.status);
		const promise = {
			done: (work) => { if (!failed) { work(answer); } return promise; },
			fail: (work) => { if (failed) { work(answer || { status: 0 }); } return promise; },
			always: (work) => { work(answer || {}, failed ? 'error' : 'success', answer || {}); return promise; }
		};
		return promise;
	}

	/** Lets time pass, and what was waiting for it happen. */
	pass(ms) {
		const until = this.now + ms;
		for (;;) {
			const next = this.timers.filter((timer) => timer.work && timer.at <= until).sort((a, b) => a.at - b.at)[0];
			if (!next) {
				break;
			}
			this.now = Math.max(this.now, next.at);
			const work = next.work;
			next.work = null;
			work();
		}
		this.now = until;
	}

	click(element) {
		const event = { target: element, preventDefault: () => { return; }, stopPropagation: () => { event.stopped = true; } };
		this.captured.forEach((listener) => listener(event));
		(element.listeners.click || []).forEach((listener) => listener.call(element, event));
	}

	/** Whether the user looks at this page. */
	show(visible) {
		this.hidden = !visible;
		this.watchers.forEach((listener) => listener());
	}

	/** The streams that are open. */
	open() {
		return this.streams.filter((stream) => !stream.closed);
	}

	find(selector) {
		return this.html.querySelector(selector);
	}

	asked(name) {
		return this.requests.filter((request) => request.name === name);
	}
}

module.exports = { Page, Element };
