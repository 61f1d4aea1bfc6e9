{strip}
<div class="dashboardWidgetHeader">{include file="dashboards/WidgetHeader.tpl"|@vtemplate_path:$MODULE_NAME}</div>
<div class="dashboardWidgetContent calls-not-called-back">{include file="dashboards/NotCalledBackContents.tpl"|@vtemplate_path:$MODULE_NAME}</div>
<div class="widgeticons dashBoardWidgetFooter"><div class="footerIcons pull-right">{include file="dashboards/DashboardFooterIcons.tpl"|@vtemplate_path:$MODULE_NAME}</div></div>
{/strip}
