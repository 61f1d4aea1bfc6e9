{* A bar chart of vTiger's own, of the figures in DATA. *}
<script type="text/javascript">
	Vtiger_Barchat_Widget_Js('Vtiger_{$CHART_NAME}_Widget_Js',{},{});
</script>
<div class="dashboardWidgetHeader">{include file="dashboards/WidgetHeader.tpl"|@vtemplate_path:$MODULE_NAME}</div>
<div class="dashboardWidgetContent calls-chart">{include file="dashboards/DashBoardWidgetContents.tpl"|@vtemplate_path:$MODULE_NAME}</div>
<div class="widgeticons dashBoardWidgetFooter"><div class="footerIcons pull-right">{include file="dashboards/DashboardFooterIcons.tpl"|@vtemplate_path:$MODULE_NAME}</div></div>
