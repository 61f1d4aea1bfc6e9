{strip}
{if $CALLS|@count eq 0}<p class="muted">{vtranslate('LBL_NO_CALLS', $MODULE_NAME)}</p>{/if}
<table class="table table-condensed calls-missed">
{foreach item=C from=$CALLS}
	<tr><td><a href="index.php?module=Calls&view=Detail&record={$C.id}">{$C.started|escape:'html'}</a></td>
	<td>{$C.name|escape:'html'}</td><td data-field-type="phone">{$C.number|escape:'html'}</td>
	<td><button type="button" class="btn btn-default btn-xs" data-calls-follow-up="{$C.id}" title="{vtranslate('LBL_CLOSE_FOLLOW_UP', $MODULE_NAME)}">&#10003;</button></td></tr>
{/foreach}
</table>
{/strip}
