{* Settings of «Звонки»: connectors and their state, groups, owners, deputies, rules, the log of requests. Everything a connector told is
   escaped. Each form posts itself (CallsSettings.js); secrets come only when asked for. *}
{strip}
<div class="calls-settings settingsPageDiv content-area col-sm-12">
<h3>{vtranslate('LBL_CALLS_CONNECTORS', $QUALIFIED_MODULE)}</h3>
{if $SAME_PBX}<p class="text-danger calls-same-pbx">{vtranslate('LBL_CALLS_SAME_PBX', $QUALIFIED_MODULE)} {foreach item=N from=$SAME_PBX}«{$N|escape:'html'}» {/foreach}</p>{/if}
{foreach item=C from=$CONNECTORS}
	<div class="calls-connector well" data-id="{$C.id}">
		<form class="calls-form form-inline" data-what="connector">
			<input type="hidden" name="id" value="{$C.id}">
			<label>{vtranslate('LBL_CALLS_NAME', $QUALIFIED_MODULE)} <input class="inputElement" name="name" value="{$C.name|escape:'html'}"></label>
			<label>{vtranslate('LBL_CALLS_KEY', $QUALIFIED_MODULE)} <input class="inputElement" name="key" value="{$C.key|escape:'html'}"></label>
			<label>{vtranslate('LBL_CALLS_URL', $QUALIFIED_MODULE)} <input class="inputElement" name="url" size="36" value="{$C.url|escape:'html'}"></label>
			<label><input type="checkbox" name="enabled" value="1" {if $C.enabled}checked{/if}> {vtranslate('LBL_CALLS_ENABLED', $QUALIFIED_MODULE)}</label>
			<div class="calls-buttons">
				<button type="submit" class="btn btn-success btn-sm">{vtranslate('LBL_CALLS_SAVE', $QUALIFIED_MODULE)}</button>
				<button type="button" class="btn btn-default btn-sm" data-do="test" data-id="{$C.id}">{vtranslate('LBL_CALLS_TEST', $QUALIFIED_MODULE)}</button>
				<button type="button" class="btn btn-default btn-sm" data-do="show_secret" data-id="{$C.id}">{vtranslate('LBL_CALLS_SHOW_SECRET', $QUALIFIED_MODULE)}</button>
				<button type="button" class="btn btn-default btn-sm" data-do="new_secret" data-id="{$C.id}">{vtranslate('LBL_CALLS_NEW_SECRET', $QUALIFIED_MODULE)}</button>
				<button type="button" class="btn btn-danger btn-sm" data-do="remove_connector" data-id="{$C.id}">{vtranslate('LBL_CALLS_REMOVE', $QUALIFIED_MODULE)}</button>
				<code class="calls-secret"></code>
			</div>
		</form>
		<table class="table table-condensed calls-state">
			<tr><td>{vtranslate('LBL_CALLS_STATE', $QUALIFIED_MODULE)}</td><td class="calls-alive">
				{if $C.heard eq ''}{vtranslate('LBL_CALLS_NEVER_HEARD', $QUALIFIED_MODULE)}
				{elseif $C.silent neq ''}<span class="text-danger">{vtranslate('LBL_CALLS_SILENT', $QUALIFIED_MODULE)} {$C.silent|escape:'html'}</span>
				{else}<span class="text-success">{vtranslate('LBL_CALLS_ALIVE', $QUALIFIED_MODULE)}</span>{/if}</td>
				<td>{vtranslate('LBL_CALLS_VERSION', $QUALIFIED_MODULE)}</td><td>{$C.version|escape:'html'}</td></tr>
			<tr><td>{vtranslate('LBL_CALLS_HEARD', $QUALIFIED_MODULE)}</td><td>{$C.heard|escape:'html'}</td>
				<td>{vtranslate('LBL_CALLS_STARTED', $QUALIFIED_MODULE)}</td><td>{$C.started|escape:'html'}</td></tr>
			<tr><td>{vtranslate('LBL_CALLS_WAITING', $QUALIFIED_MODULE)}</td><td>{$C.waiting|escape:'html'}</td>
				<td>{vtranslate('LBL_CALLS_SKEW', $QUALIFIED_MODULE)}</td><td>{$C.skew|escape:'html'}</td></tr>
			<tr><td>{vtranslate('LBL_CALLS_WAY', $QUALIFIED_MODULE)}</td><td>{if $C.reachable}{vtranslate('LBL_CALLS_WAY_DIRECT', $QUALIFIED_MODULE)}{else}{vtranslate('LBL_CALLS_WAY_COMMANDS', $QUALIFIED_MODULE)}{/if}</td>
				<td>{vtranslate('LBL_CALLS_REGION', $QUALIFIED_MODULE)}</td><td>{$C.region|escape:'html'}</td></tr>
			<tr><td>{vtranslate('LBL_CALLS_PBX_LINKS', $QUALIFIED_MODULE)}</td><td colspan="3">
				{foreach item=L from=$C.links}<div>{$L.pbx|escape:'html'} {if $L.asterisk}(Asterisk {$L.asterisk|escape:'html'}){/if}: {if $L.up}{vtranslate('LBL_CALLS_UP', $QUALIFIED_MODULE)}{else}<span class="text-danger">{vtranslate('LBL_CALLS_DOWN', $QUALIFIED_MODULE)} {$L.since|escape:'html'} {$L.error|escape:'html'}</span>{/if}</div>{/foreach}</td></tr>
			<tr><td>{vtranslate('LBL_CALLS_LAST_ERROR', $QUALIFIED_MODULE)}</td><td colspan="3">{$C.error|escape:'html'}</td></tr>
		</table>
		<a href="index.php?module=Calls&parent=Settings&view=Index&log={$C.id}#calls-log">{vtranslate('LBL_CALLS_LOG', $QUALIFIED_MODULE)}</a>
	</div>
{/foreach}
<form class="calls-form form-inline" data-what="connector" id="calls-new-connector">
	<input class="inputElement" name="name" placeholder="{vtranslate('LBL_CALLS_NAME', $QUALIFIED_MODULE)}">
	<input class="inputElement" name="key" placeholder="{vtranslate('LBL_CALLS_KEY', $QUALIFIED_MODULE)}">
	<input class="inputElement" name="url" size="36" placeholder="{vtranslate('LBL_CALLS_URL', $QUALIFIED_MODULE)}">
	<button type="submit" class="btn btn-success btn-sm">{vtranslate('LBL_CALLS_ADD', $QUALIFIED_MODULE)}</button>
</form>

<h3>{vtranslate('LBL_CALLS_GROUPS', $QUALIFIED_MODULE)}</h3>
<table class="table table-condensed">
	<tr><th>{vtranslate('LBL_CALLS_GROUP', $QUALIFIED_MODULE)}</th><th>{vtranslate('LBL_CALLS_PRIORITY', $QUALIFIED_MODULE)}</th><th>{vtranslate('LBL_CALLS_CONNECTOR', $QUALIFIED_MODULE)}</th><th>{vtranslate('LBL_CALLS_PBX', $QUALIFIED_MODULE)}</th><th>{vtranslate('LBL_CALLS_CONTEXT', $QUALIFIED_MODULE)}</th><th>{vtranslate('LBL_CALLS_CALLER_ID', $QUALIFIED_MODULE)}</th><th></th></tr>
	{foreach item=G from=$GROUP_ROWS}
		<tr><td>{$G.name|escape:'html'}</td><td>{$G.priority}</td><td>{if $G.connector eq 0}{vtranslate('LBL_CALLS_ANY', $QUALIFIED_MODULE)}{else}{foreach item=C from=$CONNECTORS}{if $C.id eq $G.connector}{$C.name|escape:'html'}{/if}{/foreach}{/if}</td><td>{$G.pbx|escape:'html'}</td><td>{$G.context|escape:'html'}</td><td>{$G.caller_id|escape:'html'}</td>
			<td><form class="calls-form" data-what="group"><input type="hidden" name="group" value="{$G.group}"><input type="hidden" name="remove" value="1"><button type="submit" class="btn btn-default btn-xs">{vtranslate('LBL_CALLS_REMOVE', $QUALIFIED_MODULE)}</button></form></td></tr>
	{/foreach}
</table>
<form class="calls-form form-inline" data-what="group" id="calls-new-group">
	<select name="group">{foreach item=G from=$ALL_GROUPS}<option value="{$G.groupid}">{$G.groupname|escape:'html'}</option>{/foreach}</select>
	<input class="inputElement" name="priority" size="4" value="1">
	<select name="connector"><option value="0">{vtranslate('LBL_CALLS_ANY', $QUALIFIED_MODULE)}</option>{foreach item=C from=$CONNECTORS}<option value="{$C.id}">{$C.name|escape:'html'}</option>{/foreach}</select>
	<input class="inputElement" name="pbx" placeholder="{vtranslate('LBL_CALLS_PBX', $QUALIFIED_MODULE)}">
	<input class="inputElement" name="context" placeholder="{vtranslate('LBL_CALLS_CONTEXT', $QUALIFIED_MODULE)}">
	<input class="inputElement" name="caller_id" list="calls-caller-ids" placeholder="{vtranslate('LBL_CALLS_CALLER_ID', $QUALIFIED_MODULE)}">
	<datalist id="calls-caller-ids">{foreach item=N from=$RULES.caller_ids}<option value="{$N|escape:'html'}"></option>{/foreach}</datalist>
	<button type="submit" class="btn btn-success btn-sm">{vtranslate('LBL_CALLS_ADD', $QUALIFIED_MODULE)}</button>
</form>

<h3>{vtranslate('LBL_CALLS_OWNERS', $QUALIFIED_MODULE)}</h3>
<table class="table table-condensed">
	<tr><th>{vtranslate('LBL_CALLS_KIND', $QUALIFIED_MODULE)}</th><th>{vtranslate('LBL_CALLS_VALUE', $QUALIFIED_MODULE)}</th><th>{vtranslate('LBL_CALLS_OWNER', $QUALIFIED_MODULE)}</th><th></th></tr>
	{foreach item=O from=$OWNER_ROWS}
		<tr><td>{assign var=KIND value="LBL_CALLS_KIND_`$O.kind`"}{vtranslate($KIND, $QUALIFIED_MODULE)}</td><td>{$O.value|escape:'html'}</td><td>{$O.owner|escape:'html'}</td>
			<td><form class="calls-form" data-what="owner"><input type="hidden" name="kind" value="{$O.kind}"><input type="hidden" name="value" value="{$O.value|escape:'html'}"><input type="hidden" name="remove" value="1"><button type="submit" class="btn btn-default btn-xs">{vtranslate('LBL_CALLS_REMOVE', $QUALIFIED_MODULE)}</button></form></td></tr>
	{/foreach}
</table>
<form class="calls-form form-inline" data-what="owner" id="calls-new-owner">
	<select name="kind"><option value="queue">{vtranslate('LBL_CALLS_KIND_queue', $QUALIFIED_MODULE)}</option><option value="did">{vtranslate('LBL_CALLS_KIND_did', $QUALIFIED_MODULE)}</option><option value="pbx">{vtranslate('LBL_CALLS_KIND_pbx', $QUALIFIED_MODULE)}</option></select>
	<input class="inputElement" name="value" placeholder="{vtranslate('LBL_CALLS_VALUE', $QUALIFIED_MODULE)}">
	<select name="owner">{foreach item=U from=$ALL_USERS}<option value="{$U.id}">{$U.name|escape:'html'}</option>{/foreach}{foreach item=G from=$ALL_GROUPS}<option value="{$G.groupid}">{$G.groupname|escape:'html'}</option>{/foreach}</select>
	<button type="submit" class="btn btn-success btn-sm">{vtranslate('LBL_CALLS_ADD', $QUALIFIED_MODULE)}</button>
</form>

<h3>{vtranslate('LBL_CALLS_DEPUTIES', $QUALIFIED_MODULE)}</h3>
<table class="table table-condensed">
	{foreach item=D from=$DEPUTY_ROWS}<tr><td>{$D.user_name|escape:'html'}</td><td>{$D.deputy_name|escape:'html'}</td></tr>{/foreach}
</table>
<form class="calls-form form-inline" data-what="deputy" id="calls-new-deputy">
	<label>{vtranslate('LBL_CALLS_USER', $QUALIFIED_MODULE)} <select name="user">{foreach item=U from=$ALL_USERS}<option value="{$U.id}">{$U.name|escape:'html'}</option>{/foreach}</select></label>
	<label>{vtranslate('LBL_CALLS_DEPUTY', $QUALIFIED_MODULE)} <select name="deputy"><option value="0">{vtranslate('LBL_CALLS_NOBODY', $QUALIFIED_MODULE)}</option>{foreach item=U from=$ALL_USERS}<option value="{$U.id}">{$U.name|escape:'html'}</option>{/foreach}</select></label>
	<button type="submit" class="btn btn-success btn-sm">{vtranslate('LBL_CALLS_SAVE', $QUALIFIED_MODULE)}</button>
</form>

<h3>{vtranslate('LBL_CALLS_RULES', $QUALIFIED_MODULE)}</h3>
<form class="calls-form calls-rules" data-what="rules" id="calls-rules">
	<div><label>{vtranslate('LBL_CALLS_CLIENT_MODULES', $QUALIFIED_MODULE)} <select name="client_modules">{foreach item=M from=['Contacts','Accounts','Leads']}<option value="{$M}" {if $RULES.client_modules.0 eq $M}selected{/if}>{vtranslate($M, $M)}</option>{/foreach}</select></label>
	<label>{vtranslate('LBL_CALLS_AMONG_EQUALS', $QUALIFIED_MODULE)} <select name="client_among_equals"><option value="newest">{vtranslate('LBL_CALLS_NEWEST', $QUALIFIED_MODULE)}</option><option value="oldest" {if $RULES.client_among_equals eq 'oldest'}selected{/if}>{vtranslate('LBL_CALLS_OLDEST', $QUALIFIED_MODULE)}</option></select></label></div>
	<div><label>{vtranslate('LBL_CALLS_NEWCOMERS', $QUALIFIED_MODULE)} <select name="create_client"><option value="">{vtranslate('LBL_CALLS_NEVER', $QUALIFIED_MODULE)}</option>{foreach item=M from=['Leads','Contacts','Accounts']}<option value="{$M}" {if $RULES.create_client eq $M}selected{/if}>{vtranslate("SINGLE_`$M`", $M)}</option>{/foreach}</select></label></div>
	<div><label>{vtranslate('LBL_CALLS_CALLER_IDS', $QUALIFIED_MODULE)} <textarea class="inputElement" name="caller_ids" rows="3" cols="20">{foreach item=N from=$RULES.caller_ids}{$N|escape:'html'}{"\n"}{/foreach}</textarea></label></div>
	<div><label>{vtranslate('LBL_CALLS_LOG_DAYS', $QUALIFIED_MODULE)} <input class="inputElement" name="log_days" size="4" value="{$RULES.log_days}"></label></div>
	<div><label>{vtranslate('LBL_CALLS_SEAT_IDLE', $QUALIFIED_MODULE)} <input class="inputElement" name="seat_idle_hours" size="4" value="{$RULES.seat_idle_hours}"></label>
	<label>{vtranslate('LBL_CALLS_SEAT_END', $QUALIFIED_MODULE)} <input class="inputElement" name="seat_end_hour" size="4" value="{$RULES.seat_end_hour}"></label></div>
	<div><label><input type="checkbox" name="popup" value="1" {if $RULES.popup}checked{/if}> {vtranslate('LBL_CALLS_POPUP', $QUALIFIED_MODULE)}</label></div>
	<div><label><input type="checkbox" name="remove_data_on_uninstall" value="1" {if $RULES.remove_data_on_uninstall}checked{/if}> {vtranslate('LBL_CALLS_REMOVE_DATA', $QUALIFIED_MODULE)}</label></div>
	<button type="submit" class="btn btn-success btn-sm">{vtranslate('LBL_CALLS_SAVE', $QUALIFIED_MODULE)}</button>
	<button type="button" class="btn btn-default btn-sm" data-do="repair" data-id="0">{vtranslate('LBL_CALLS_REPAIR', $QUALIFIED_MODULE)}</button>
</form>

<h3 id="calls-log">{vtranslate('LBL_CALLS_LOG', $QUALIFIED_MODULE)}</h3>
<table class="table table-condensed calls-log">
	<tr><th>{vtranslate('LBL_CALLS_LOG_TIME', $QUALIFIED_MODULE)}</th><th>{vtranslate('LBL_CALLS_LOG_DIRECTION', $QUALIFIED_MODULE)}</th><th>{vtranslate('LBL_CALLS_LOG_WHAT', $QUALIFIED_MODULE)}</th><th>{vtranslate('LBL_CALLS_LOG_STATUS', $QUALIFIED_MODULE)}</th><th>{vtranslate('LBL_CALLS_LOG_TOOK', $QUALIFIED_MODULE)}</th><th></th></tr>
	{foreach item=L from=$LOG}
		<tr class="{if $L.status neq 200 and $L.status neq 202}text-danger{/if}"><td>{$L.time|escape:'html'}</td><td>{if $L.direction eq 'in'}{vtranslate('LBL_CALLS_LOG_IN', $QUALIFIED_MODULE)}{else}{vtranslate('LBL_CALLS_LOG_OUT', $QUALIFIED_MODULE)}{/if}</td><td>{$L.what|escape:'html'}</td><td>{$L.status}</td><td>{$L.took_ms}</td>
			<td><details><summary>{vtranslate('LBL_CALLS_LOG_REQUEST', $QUALIFIED_MODULE)} / {vtranslate('LBL_CALLS_LOG_ANSWER', $QUALIFIED_MODULE)}</summary><pre>{$L.request|escape:'html'}</pre><pre>{$L.answer|escape:'html'}</pre></details></td></tr>
	{/foreach}
</table>
</div>
{/strip}
