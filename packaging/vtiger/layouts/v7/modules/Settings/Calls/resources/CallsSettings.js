/** The settings page of «Звонки»: posts its forms and shows what came of it. */
/* global jQuery, app */
jQuery(function () {
	'use strict';

	function send(fields, done) {
		jQuery.ajax({ url: 'index.php', type: 'POST', dataType: 'json', data: fields }).done(function (answer) {
			if (!answer || !answer.success) {
				app.helper.showErrorNotification({ message: (answer && answer.error && answer.error.message) || 'vTiger' });
				return;
			}
			done(answer.result);
		}).fail(function () {
			app.helper.showErrorNotification({ message: 'vTiger' });
		});
	}

	function fields(what, more) {
		return [
			{ name: 'module', value: 'Calls' }, { name: 'parent', value: 'Settings' }, { name: 'action', value: 'Save' },
			{ name: 'what', value: what }
		].concat(more);
	}

	jQuery('.calls-settings').on('submit', '.calls-form', function (event) {
		event.preventDefault();
		var form = jQuery(this);
		send(fields(form.data('what'), form.serializeArray()), function () {
			window.location.reload();
		});
	});

	jQuery('.calls-settings').on('click', '[data-do]', function () {
		var button = jQuery(this);
		send(fields(button.data('do'), [{ name: 'id', value: button.data('id') }]), function (result) {
			if (result.secret) {
				button.closest('.calls-connector').find('.calls-secret').text(result.secret);
			}
			if (button.data('do') === 'remove_connector') {
				window.location.reload();
				return;
			}
			app.helper.showSuccessNotification({ message: result.message });
		});
	});
});
