{* Below the card of a call: the other phones of its conversation and how it went, step by step. Everything here came from a
   telephone network and is escaped. *}
{strip}
<div class="block calls-story">
	<div><h4>{if $IS_MAIN}{vtranslate('LBL_OTHER_PHONES', $MODULE)}{else}{vtranslate('LBL_MAIN_RECORD_OF', $MODULE)}{/if}</h4></div>
	<hr>
	{if $OTHERS|@count eq 0}
		<p class="muted">{vtranslate('LBL_NO_OTHER_PHONES', $MODULE)}</p>
	{else}
		<table class="table table-condensed calls-others">
			<thead><tr>
				<th>{vtranslate('Extension', $MODULE)}</th><th>{vtranslate('Employee', $MODULE)}</th>
				<th>{vtranslate('Call Status', $MODULE)}</th><th>{vtranslate('Ring Time', $MODULE)}</th>
				<th>{vtranslate('Talk Time', $MODULE)}</th><th>{vtranslate('Main Record', $MODULE)}</th>
			</tr></thead>
			<tbody>
			{foreach item=OTHER from=$OTHERS}
				<tr>
					<td><a href="{$OTHER.url|escape:'html'}">{$OTHER.phone|escape:'html'}</a></td>
					<td>{$OTHER.user|escape:'html'}</td>
					<td>{$OTHER.status|escape:'html'}</td>
					<td>{$OTHER.ring|escape:'html'}</td>
					<td>{$OTHER.talk|escape:'html'}</td>
					<td>{if $OTHER.main}&#10003;{/if}</td>
				</tr>
			{/foreach}
			</tbody>
		</table>
	{/if}
</div>
{if $RECORDINGS|@count gt 0}
<div class="block calls-story">
	<div><h4>{vtranslate('LBL_ALL_RECORDINGS', $MODULE)}</h4></div>
	<hr>
	<table class="table table-condensed calls-recordings"><tbody>
	{foreach item=ONE from=$RECORDINGS}
		<tr><td class="calls-step-time">{$ONE.time|escape:'html'}</td><td>{* our own HTML: a button and a link *}{$ONE.player nofilter}</td></tr>
	{/foreach}
	</tbody></table>
</div>
{/if}
<div class="block calls-story">
	<div><h4>{vtranslate('LBL_TIMELINE', $MODULE)}</h4></div>
	<hr>
	{if $STEPS|@count eq 0}
		<p class="muted">{vtranslate('LBL_NO_TIMELINE', $MODULE)}</p>
	{else}
		<table class="table table-condensed calls-timeline"><tbody>
		{foreach item=STEP from=$STEPS}
			<tr>
				<td class="calls-step-time">{$STEP.time|escape:'html'}</td>
				<td class="calls-step-name">{$STEP.step|escape:'html'}</td>
				<td class="calls-step-details">{$STEP.details|escape:'html'}</td>
			</tr>
		{/foreach}
		</tbody></table>
	{/if}
</div>
{/strip}
