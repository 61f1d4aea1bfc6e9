{* Bars without a script: a table that a chart is made of by widths, readable by anybody and printable. *}
{strip}
{assign var=MOST value=1}
{foreach item=ROW from=$ROWS}{if $ROW.count gt $MOST}{assign var=MOST value=$ROW.count}{/if}{/foreach}
{if $ROWS|@count eq 0}<p class="muted">{vtranslate('LBL_NO_CALLS', $MODULE_NAME)}</p>{/if}
<table class="calls-bars">
{foreach item=ROW from=$ROWS}
	<tr><td class="calls-bar-label">{if $ROW.link}<a href="{$ROW.link|escape:'html'}">{$ROW.label|escape:'html'}</a>{else}{$ROW.label|escape:'html'}{/if}</td>
	<td class="calls-bar-cell"><div class="calls-bar" style="width:{math equation="round(100 * c / m)" c=$ROW.count m=$MOST}%"></div></td>
	<td class="calls-bar-count">{$ROW.count}</td></tr>
{/foreach}
</table>
{/strip}
